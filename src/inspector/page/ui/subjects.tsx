import type { JSX } from 'preact';
import type { JsonValue } from '../../../core/value.ts';
import type { SubjectMarks } from '../../data-protocol.ts';
import { JsonView } from './json-view.tsx';
import { Badge } from './parts.tsx';

/** Whom a value is about, path by path, and which of it was forgotten. */
export function Subjects({ of }: { readonly of: SubjectMarks }): JSX.Element {
  const { subjects, forgotten = [], sealed = [] } = of;
  if (!subjects) return <span class="muted">encrypted for a subject that is not known here</span>;
  return (
    <ul class="subjects" aria-label="Subjects">
      {Object.entries(subjects).map(([path, subject]) => (
        <li key={path} class="row wrap">
          <Badge tone="accent">{subject}</Badge>
          {path !== '' && <span class="mono small-text">{path}</span>}
          {forgotten.includes(path) && <Badge tone="bad">forgotten</Badge>}
          {sealed.includes(path) && <Badge tone="warn">no key here</Badge>}
        </li>
      ))}
    </ul>
  );
}

interface ValueProps {
  readonly of: SubjectMarks & { readonly value?: JsonValue; readonly hidden: boolean };
}

/** A value, or why it cannot be read. */
export function Value({ of }: ValueProps): JSX.Element {
  const { value, hidden, forgotten, sealed } = of;
  if (forgotten?.[0] === '')
    return <p class="muted">The value was forgotten: its key is destroyed, so it can never be read again.</p>;
  if (sealed?.[0] === '') return <p class="muted">The value is encrypted, and its key is not available here.</p>;
  return <JsonView value={value} hides={hidden} />;
}
