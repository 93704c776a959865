import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { EntryDetail } from '../../data-protocol.ts';
import { get, RequestFailed } from '../api.ts';
import { ago, count, dateTime, keyText, until } from '../format.ts';
import { meta } from '../live.ts';
import { useLoaded } from '../load.ts';
import { CopyButton } from '../ui/copy.tsx';
import { useEntryChanges, useNow } from '../ui/hooks.ts';
import { Icon } from '../ui/icons.tsx';
import { JsonView } from '../ui/json-view.tsx';
import { Badge, Card, Empty, Facts, Failed, Loading } from '../ui/parts.tsx';
import { Subjects, Value } from '../ui/subjects.tsx';
import { DeleteDialog, EditDialog } from './edit-dialog.tsx';

interface EntryProps {
  readonly namespace: string;
  readonly entryKey: string;
  /** Position of the view. Default: the present. */
  readonly at?: number;
  /** A new number loads the entry again. */
  readonly turn?: number;
  readonly onWritten?: () => void;
}

/** An entry: its value with version, agent, age and expiry, and buttons to change it if writing is allowed. */
export function EntryCard({ namespace, entryKey, at, turn = 0, onWritten }: EntryProps): JSX.Element {
  const changes = useEntryChanges(namespace, entryKey, at === undefined);
  const { value, error, reload } = useLoaded(
    (signal) => get('GET /api/entry', { namespace, key: entryKey, at }, signal),
    [namespace, entryKey, at],
    turn + changes,
  );
  const isMissing = error instanceof RequestFailed && error.code === 'NOT_FOUND';
  const mayWrite = at === undefined && meta.value?.allowWrite === true;
  return (
    <Card
      title={<EntryTitle namespace={namespace} entryKey={entryKey} />}
      side={value && !isMissing && mayWrite && <EditButtons of={value} onWritten={onWritten ?? reload} />}
    >
      {isMissing ? (
        <Empty title={at === undefined ? 'There is no such entry now' : 'There was no such entry then'} icon="data">
          {at === undefined ? 'Its history shows what happened to it.' : `At position ${count(at)}.`}
        </Empty>
      ) : value === undefined ? (
        error ? (
          <Failed message={error.message} retry={reload} />
        ) : (
          <Loading what="Loading" />
        )
      ) : (
        <EntryBody of={value} isPast={at !== undefined} />
      )}
    </Card>
  );
}

function EntryTitle({ namespace, entryKey }: { readonly namespace: string; readonly entryKey: string }): JSX.Element {
  return (
    <span title={`${namespace} ${entryKey}`}>
      <span class="muted">{namespace}</span> {keyText(entryKey)}
    </span>
  );
}

function EntryBody({ of, isPast }: { readonly of: EntryDetail; readonly isPast: boolean }): JSX.Element {
  const now = useNow();
  return (
    <div class="stack">
      <Facts
        wide
        of={[
          ['Version', count(of.version)],
          ['Agent', of.agent ?? '–'],
          ['Subject', of.subjects === undefined ? undefined : <Subjects of={of} />],
          ['Expires', of.expiresAt === null ? 'never' : <Expiry at={of.expiresAt} now={isPast ? undefined : now} />],
          ['Updated', isPast ? dateTime(of.updatedAt) : <Age at={of.updatedAt} now={now} />],
          ['Created', isPast ? dateTime(of.createdAt) : <Age at={of.createdAt} now={now} />],
        ]}
      />
      {of.failure !== undefined && (
        <p class="notice bad">
          Readers get this error instead of the value below, which is what was written. {of.failure}
        </p>
      )}
      <section>
        {of.written && <h3 class="label">What readers get: a migration has changed the value</h3>}
        <div class="value-box">
          <div class="value-tools">
            {of.hidden && <Badge tone="warn">partly hidden</Badge>}
            <CopyButton label="Copy the value" text={() => JSON.stringify(of.value, null, 2)} />
          </div>
          <Value of={of} key={of.version} />
        </div>
      </section>
      {of.written && (
        <section>
          <h3 class="label">What was written</h3>
          <div class="value-box">
            <JsonView value={of.written.value} hides={of.written.hidden} key={of.version} />
          </div>
        </section>
      )}
    </div>
  );
}

function Age({ at, now }: { readonly at: number; readonly now: number }): JSX.Element {
  return <time title={dateTime(at)}>{ago(at, now)}</time>;
}

function Expiry({ at, now }: { readonly at: number; readonly now: number | undefined }): JSX.Element {
  return <time title={dateTime(at)}>{now === undefined ? dateTime(at) : until(at, now)}</time>;
}

interface ButtonsProps {
  readonly of: EntryDetail;
  readonly onWritten: () => void;
}

function EditButtons({ of, onWritten }: ButtonsProps): JSX.Element {
  const [doing, setDoing] = useState<'edit' | 'delete' | undefined>(undefined);
  const close = () => setDoing(undefined);
  const done = () => {
    close();
    onWritten();
  };
  return (
    <>
      <button type="button" class="button small" onClick={() => setDoing('edit')}>
        <Icon name="edit" size={15} /> Edit
      </button>
      <button type="button" class="button small danger" onClick={() => setDoing('delete')}>
        <Icon name="trash" size={15} /> Delete
      </button>
      {doing === 'edit' && <EditDialog entry={of} onClose={close} onDone={done} />}
      {doing === 'delete' && <DeleteDialog entry={of} onClose={close} onDone={done} />}
    </>
  );
}
