import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { JsonValue } from '../../../core/value.ts';
import type { EditRequest, EntryDetail } from '../../data-protocol.ts';
import { post, RequestFailed } from '../api.ts';
import { count } from '../format.ts';
import { Difference } from '../ui/difference.tsx';
import { IconButton } from '../ui/parts.tsx';

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

/** In front of the page; Escape closes it. */
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

/** What stands in the way of a change. */
interface Refusal {
  readonly message: string;
  /** Somebody else was faster: the entry as it is; `null`: it is gone. `undefined`: that is not why. */
  readonly current: EntryDetail | null | undefined;
}

/** Does it, and keeps why it could not be done. */
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

/** The value as JSON text, to be changed; stored only if the entry is still at the version that was looked at. */
export function EditDialog({ entry, onClose, onDone }: ChangeProps): JSX.Element {
  const { namespace, key } = entry;
  const [text, setText] = useState(() => textOf(entry.value));
  // What was looked at when the dialog opened; the entry on the page goes on changing behind it.
  const [base, setBase] = useState(entry);
  const { refusal, busy, attempt, refuse } = useChange(onDone);
  const save = (ifVersion: number) => {
    const parsed = parse(text);
    if ('problem' in parsed) return refuse(`This is not JSON: ${parsed.problem}`);
    const request: EditRequest = { namespace, key, value: parsed.value, ifVersion };
    attempt(() => post('POST /api/set', request));
  };
  const takeTheirs = (current: EntryDetail) => {
    setBase(current);
    setText(textOf(current.value));
    refuse(undefined);
  };
  const current = refusal?.current;
  return (
    <Dialog title={`Edit ${key}`} onClose={onClose}>
      <p class="muted">
        {namespace} · it is stored only if the entry is still at version {count(base.version)}.
        {base.hidden && ' What is hidden stays as it is where you leave it so.'}
      </p>
      <textarea
        class="input"
        aria-label="Value as JSON"
        spellcheck={false}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      {refusal && current === undefined && (
        <p class="notice bad" role="alert">
          {refusal.message}
        </p>
      )}
      {current !== undefined && <Conflict current={current} mine={parse(text)} />}
      <div class="row wrap end">
        <button type="button" class="button" onClick={onClose}>
          Cancel
        </button>
        {current === undefined ? (
          <button type="button" class="button primary" disabled={busy} onClick={() => save(base.version)}>
            Store
          </button>
        ) : (
          <>
            {current !== null && (
              <button type="button" class="button" onClick={() => takeTheirs(current)}>
                Take theirs
              </button>
            )}
            <button type="button" class="button danger" disabled={busy} onClick={() => save(current?.version ?? 0)}>
              {current === null ? 'Store it anew' : `Replace version ${count(current.version)}`}
            </button>
          </>
        )}
      </div>
    </Dialog>
  );
}

const textOf = (value: unknown): string => JSON.stringify(value, null, 2);

function parse(text: string): { readonly value: JsonValue } | { readonly problem: string } {
  try {
    return { value: JSON.parse(text) as JsonValue };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

interface ConflictProps {
  readonly current: EntryDetail | null;
  readonly mine: ReturnType<typeof parse>;
}

function Conflict({ current, mine }: ConflictProps): JSX.Element {
  if (current === null) {
    return (
      <p class="notice warn" role="alert">
        Somebody has removed the entry meanwhile. Nothing was stored.
      </p>
    );
  }
  return (
    <div class="stack" role="alert">
      <p class="notice warn">
        <span>
          {current.agent ?? 'Somebody'} has changed the entry meanwhile: it is at version {count(current.version)}.
          Nothing was stored.
        </span>
      </p>
      {'value' in mine && (
        <section>
          <h3 class="label">From theirs to yours</h3>
          <Difference before={current.value} after={mine.value} />
        </section>
      )}
    </div>
  );
}

/** Asks once, then removes the entry if it is still at the version that was looked at. */
export function DeleteDialog({ entry, onClose, onDone }: ChangeProps): JSX.Element {
  const { namespace, key } = entry;
  const [base] = useState(entry);
  const { refusal, busy, attempt } = useChange(onDone);
  const current = refusal?.current;
  const remove = (ifVersion: number) => attempt(() => post('POST /api/delete', { namespace, key, ifVersion }));
  const isGone = current === null;
  return (
    <Dialog title={`Delete ${key}`} onClose={onClose}>
      <p>
        Removes <strong>{key}</strong> from <strong>{namespace}</strong>, at version {count(base.version)}. The log
        keeps what it was.
      </p>
      {refusal && current === undefined && (
        <p class="notice bad" role="alert">
          {refusal.message}
        </p>
      )}
      {isGone && (
        <p class="notice warn" role="alert">
          Somebody has removed it already.
        </p>
      )}
      {current && (
        <p class="notice warn" role="alert">
          {current.agent ?? 'Somebody'} has changed it meanwhile: it is at version {count(current.version)}. Nothing was
          removed.
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
