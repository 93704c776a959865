import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { EntryVersionDetail, Paged } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { count, dateTime, time } from '../format.ts';
import { usePages } from '../pages.ts';
import { hrefOf } from '../router.ts';
import { Difference } from '../ui/difference.tsx';
import { useEntryChanges } from '../ui/hooks.ts';
import { Icon } from '../ui/icons.tsx';
import { Badge, Card, Empty, Failed, Loading, Op } from '../ui/parts.tsx';
import { Value } from '../ui/subjects.tsx';

const PAGE = 50;

interface HistoryProps {
  readonly namespace: string;
  readonly entryKey: string;
  readonly turn: number;
}

/** Every version of an entry, newest first, with its differences from the one before. */
export function HistoryCard({ namespace, entryKey, turn }: HistoryProps): JSX.Element {
  const changes = useEntryChanges(namespace, entryKey, true);
  const { items, last, error, hasMore, more, reload } = usePages<EntryVersionDetail, Paged<EntryVersionDetail>>(
    (after, signal) => get('GET /api/history', { namespace, key: entryKey, after, limit: PAGE }, signal),
    [namespace, entryKey],
    turn + changes,
  );
  return (
    <Card
      title="History"
      side={
        last && (
          <span class="muted num">
            {count(items.length)}
            {hasMore && '+'}
          </span>
        )
      }
      flush
    >
      {error && <Failed message={error.message} retry={reload} />}
      {last === undefined && !error && <Loading what="Loading" />}
      {last && items.length === 0 && (
        <Empty title="No version is known">The log no longer reaches back that far.</Empty>
      )}
      <ol class="history">
        {items.map((version, place) => (
          <Version key={version.position} of={version} before={items[place + 1]} isFirst={place === 0} />
        ))}
      </ol>
      {hasMore && (
        <div class="card-body">
          <button type="button" class="button small" onClick={more}>
            Older versions
          </button>
        </div>
      )}
    </Card>
  );
}

interface VersionProps {
  readonly of: EntryVersionDetail;
  /** The version before it; `undefined` if it is not known. */
  readonly before: EntryVersionDetail | undefined;
  readonly isFirst: boolean;
}

function Version({ of, before, isFirst }: VersionProps): JSX.Element {
  const [open, setOpen] = useState(isFirst);
  const [whole, setWhole] = useState(false);
  return (
    <li>
      <div class="history-line">
        <button type="button" class="history-toggle" aria-expanded={open} onClick={() => setOpen(!open)}>
          <span class={open ? 'twist open' : 'twist'}>
            <Icon name="next" size={14} />
          </span>
          <span class="num history-version">v{count(of.version)}</span>
          <Op of={of.operation} />
          <span class="ellipsis soft grow">{of.agent ?? ''}</span>
          {of.forgotten && <Badge tone="bad">forgotten</Badge>}
          <span class="muted small-text num" title={dateTime(of.at)}>
            <span class="wide-only">{dateTime(of.at)}</span>
            <span class="narrow-only">{time(of.at)}</span>
          </span>
        </button>
        <a
          class="num small-text"
          href={hrefOf('time', { at: of.position })}
          title="Go to this position"
          aria-label={`Go to position ${of.position}`}
        >
          #{count(of.position)}
        </a>
      </div>
      {open && (
        <div class="history-body stack">
          {of.operation === 'touch' ? (
            <p class="muted">Expires {of.expiresAt === null ? 'never' : dateTime(of.expiresAt)}.</p>
          ) : (
            <Difference before={before?.value} after={of.value} />
          )}
          {of.value !== undefined && before?.value !== undefined && (
            <div>
              <button type="button" class="button small" aria-expanded={whole} onClick={() => setWhole(!whole)}>
                {whole ? 'Show the difference only' : 'Show the whole value'}
              </button>
            </div>
          )}
          {whole && <Value of={of} />}
        </div>
      )}
    </li>
  );
}
