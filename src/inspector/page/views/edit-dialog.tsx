import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { JsonValue } from '../../../core/value.ts';
import type { EditRequest, EntryDetail } from '../../data-protocol.ts';
import { post, RequestFailed } from '../api.ts';
import { count, keyText } from '../format.ts';
import { Difference } from '../ui/difference.tsx';
import { JsonEditor, useJsonProblem } from '../ui/json-editor.tsx';
import { IconButton } from '../ui/parts.tsx';
import { rowsOf, rowsProblem, SubjectsEditor } from '../ui/subjects-editor.tsx';

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

/** A window in front of the page. Escape closes it. */
function Dialog({ title, onClose, children }: DialogProps): JSX.Element {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  return (
    <dialog ref={box} class="dialog" aria-label={title} onClose={onClose}>
      <header class="card-head">
        <h2 class="ellipsis">{title}</h2>
        <IconButton label="Close" icon="close" small onClick={onClose} />
      </header>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}

interface ChangeProps {
  readonly entry: EntryDetail;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

/** Why a change was refused. */
interface Refusal {
  readonly message: string;
  /** After a version conflict, the entry as it is now, or `null` if it was deleted; `undefined` after other errors. */
  readonly current: EntryDetail | null | undefined;
}

/** Tries a change and keeps why it was refused. */
function useChange(onDone: () => void): {
  readonly refusal: Refusal | undefined;
  readonly busy: boolean;
  readonly attempt: (work: () => Promise<unknown>) => void;
  readonly refuse: (message: string | undefined) => void;
} {
  const [refusal, setRefusal] = useState<Refusal | undefined>(undefined);
  const [busy, setBusy] = useState(false);
  const attempt = async (work: () => Promise<unknown>) => {
    setBusy(true);
    try {
      await work();
      onDone();
    } catch (error) {
      const isConflict = error instanceof RequestFailed && error.code === 'VERSION_CONFLICT';
      setRefusal({ message: (error as Error).message, current: isConflict ? error.current : undefined });
    }
    setBusy(false);
  };
  const refuse = (message: string | undefined) =>
    setRefusal(message === undefined ? undefined : { message, current: undefined });
  return { refusal, busy, attempt: (work) => void attempt(work), refuse };
}

/** Edits a value as JSON text, and whom it is about. Stores it only if the entry still has the version that was shown. */
export function EditDialog({ entry, onClose, onDone }: ChangeProps): JSX.Element {
  const { namespace, key } = entry;
  const [text, setText] = useState(() => textOf(entry.value));
  // The version shown when the dialog opened. The entry on the page may change behind it.
  const [base, setBase] = useState(entry);
  const [rows, setRows] = useState(() => rowsOf(entry));
  // Otherwise the inspector keeps the subjects.
  const named = JSON.stringify(rows) === JSON.stringify(rowsOf(base)) ? undefined : rows;
  const { refusal, busy, attempt, refuse } = useChange(onDone);
  const problem = useJsonProblem(text);
  const misnamed = rowsProblem(rows);
  const mine = problem === undefined ? { value: JSON.parse(text) as JsonValue } : undefined;
  const save = (ifVersion: number) => {
    if (mine === undefined) return;
    // After a conflict another version is replaced than the one whose value was edited.
    const edited = base.subjects === undefined ? undefined : { edited: base.version };
    const subjects = named && { subjects: Object.fromEntries(named.map(({ path, subject }) => [path, subject])) };
    const request: EditRequest = { namespace, key, value: mine.value, ifVersion, ...edited, ...subjects };
    attempt(() => post('POST /api/set', request));
  };
  const takeTheirs = (current: EntryDetail) => {
    setBase(current);
    setText(textOf(current.value));
    setRows(rowsOf(current));
    refuse(undefined);
  };
  const current = refusal?.current;
  return (
    <Dialog title={`Edit ${keyText(key)}`} onClose={onClose}>
      <p class="muted">
        {namespace} · stored only if the entry still has version {count(base.version)}.
        {base.written && ' The text is what readers get; stored, it replaces what was written.'}
        {named === undefined ? subjectsText(base) : ' A part for which no subject is named is stored readable.'}
        {base.hidden && ' Leave a [hidden …] text as it is to keep what it hides.'}
      </p>
      <JsonEditor label="Value as JSON" text={text} onInput={setText} problem={problem} />
      <SubjectsEditor rows={rows} onInput={setRows} />
      {misnamed && <p class="error-text">{misnamed}</p>}
      {refusal && current === undefined && (
        <p class="notice bad" role="alert">
          {refusal.message}
        </p>
      )}
      {current !== undefined && <Conflict current={current} mine={mine} />}
      <div class="row wrap end">
        <button type="button" class="button" onClick={onClose}>
          Cancel
        </button>
        {current === undefined ? (
          <button
            type="button"
            class="button primary"
            disabled={busy || problem !== undefined || misnamed !== undefined}
            onClick={() => save(base.version)}
          >
            Store
          </button>
        ) : (
          <>
            {current !== null && (
              <button type="button" class="button" onClick={() => takeTheirs(current)}>
                Use theirs
              </button>
            )}
            <button
              type="button"
              class="button danger"
              disabled={busy || problem !== undefined || misnamed !== undefined}
              onClick={() => save(current?.version ?? 0)}
            >
              {current === null ? 'Store it again' : `Replace version ${count(current.version)}`}
            </button>
          </>
        )}
      </div>
    </Dialog>
  );
}

/** Says what becomes of the parts that are about a subject. */
function subjectsText(base: EntryDetail): string {
  const names = [...new Set(rowsOf(base).map(({ subject }) => subject))].join(', ');
  return [
    names === '' ? '' : ` What is about ${names} stays encrypted.`,
    base.forgotten === undefined ? '' : ' What was forgotten cannot be stored again.',
  ].join('');
}

const textOf = (value: unknown): string => JSON.stringify(value, null, 2);

interface ConflictProps {
  readonly current: EntryDetail | null;
  /** `undefined` while the text is not JSON. */
  readonly mine: { readonly value: JsonValue } | undefined;
}

function Conflict({ current, mine }: ConflictProps): JSX.Element {
  if (current === null) {
    return (
      <p class="notice warn" role="alert">
        Another writer has deleted the entry meanwhile. Nothing was stored.
      </p>
    );
  }
  return (
    <div class="stack" role="alert">
      <p class="notice warn">
        <span>
          {current.agent ?? 'Another writer'} has changed the entry meanwhile; it has version {count(current.version)}{' '}
          now. Nothing was stored.
        </span>
      </p>
      {mine !== undefined && (
        <section>
          <h3 class="label">Theirs compared with yours</h3>
          <Difference before={current.value} after={mine.value} />
        </section>
      )}
    </div>
  );
}

/** Asks once, then deletes the entry if it still has the version that was shown. */
export function DeleteDialog({ entry, onClose, onDone }: ChangeProps): JSX.Element {
  const { namespace, key } = entry;
  const [base] = useState(entry);
  const { refusal, busy, attempt } = useChange(onDone);
  const current = refusal?.current;
  const remove = (ifVersion: number) => attempt(() => post('POST /api/delete', { namespace, key, ifVersion }));
  const isGone = current === null;
  return (
    <Dialog title={`Delete ${keyText(key)}`} onClose={onClose}>
      <p>
        Deletes <strong>{keyText(key)}</strong> from <strong>{namespace}</strong> if it still has version{' '}
        {count(base.version)}. The log keeps its history.
      </p>
      {refusal && current === undefined && (
        <p class="notice bad" role="alert">
          {refusal.message}
        </p>
      )}
      {isGone && (
        <p class="notice warn" role="alert">
          Another writer has deleted it already.
        </p>
      )}
      {current && (
        <p class="notice warn" role="alert">
          {current.agent ?? 'Another writer'} has changed it meanwhile; it has version {count(current.version)} now.
          Nothing was deleted.
        </p>
      )}
      <div class="row end">
        <button type="button" class="button" onClick={onClose}>
          {isGone ? 'Close' : 'Cancel'}
        </button>
        {!isGone && (
          <button
            type="button"
            class="button danger"
            disabled={busy}
            onClick={() => remove(current?.version ?? base.version)}
          >
            {current ? `Delete version ${count(current.version)}` : 'Delete'}
          </button>
        )}
      </div>
    </Dialog>
  );
}
