import type { JSX } from 'preact';
import type { SubjectMarks } from '../../data-protocol.ts';
import { IconButton } from './parts.tsx';

/** A part of a value and whom it is about, as it is typed. */
export interface SubjectRow {
  readonly path: string;
  readonly subject: string;
}

/** Returns a row for each part with a subject. Leaves out what was forgotten: it can have no new value. */
export function rowsOf({ subjects, forgotten = [] }: SubjectMarks): readonly SubjectRow[] {
  const there = Object.entries(subjects ?? {}).filter(([path]) => !forgotten.includes(path));
  return there.map(([path, subject]) => ({ path, subject }));
}

/** Returns what is wrong with rows; `undefined` if they can be stored. */
export function rowsProblem(rows: readonly SubjectRow[]): string | undefined {
  if (rows.some(({ subject }) => subject === '')) return 'A subject has no name. Name it, or remove its line.';
  const twice = rows.find(({ path }, place) => rows.findIndex((row) => row.path === path) !== place);
  return twice && `${twice.path || 'The whole value'} has two subjects. Remove one of them.`;
}

interface EditorProps {
  readonly rows: readonly SubjectRow[];
  readonly onInput: (rows: readonly SubjectRow[]) => void;
}

/** Lines of subject and path, to add, change and remove. */
export function SubjectsEditor({ rows, onInput }: EditorProps): JSX.Element {
  const change = (place: number, part: Partial<SubjectRow>) =>
    onInput(rows.map((row, each) => (each === place ? { ...row, ...part } : row)));
  return (
    <fieldset class="subject-rows">
      <legend class="label">Subjects: whom the value, or a part of it, is about</legend>
      {rows.map(({ path, subject }, place) => (
        <div class="row" key={place}>
          <input
            class="input"
            aria-label={`Subject ${place + 1}`}
            placeholder="user-42"
            value={subject}
            onInput={(event) => change(place, { subject: event.currentTarget.value })}
          />
          <input
            class="input mono grow"
            aria-label={`Path of subject ${place + 1}`}
            placeholder="the whole value; a part of it: /guest/name"
            value={path}
            onInput={(event) => change(place, { path: event.currentTarget.value })}
          />
          <IconButton
            label={`Remove subject ${place + 1}`}
            icon="trash"
            small
            onClick={() => onInput(rows.filter((_, each) => each !== place))}
          />
        </div>
      ))}
      <button type="button" class="button small" onClick={() => onInput([...rows, { path: '', subject: '' }])}>
        Add a subject
      </button>
    </fieldset>
  );
}
