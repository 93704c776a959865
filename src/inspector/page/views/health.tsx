import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { ServerHealth } from '../../../engine/health.ts';
import type { SnapshotInfo } from '../../../followers/backup/snapshot-format.ts';
import type { HealthDetail, LastVerification } from '../../protocol.ts';
import { get, post } from '../api.ts';
import { ago, bytes, count, dateTime, duration, plural } from '../format.ts';
import { meta } from '../live.ts';
import { useLoaded } from '../load.ts';
import { useEvery, useNow } from '../ui/hooks.ts';
import { Icon } from '../ui/icons.tsx';
import { Badge, Card, Empty, Facts, Failed, Loading, type Tone } from '../ui/parts.tsx';
import { ClusterCard } from './cluster-card.tsx';
import { StatusBadge } from './overview.tsx';
import { VerifyCard } from './verify.tsx';

const REFRESH_MS = 3_000;

export function HealthView(): JSX.Element {
  const [turn, setTurn] = useState(0);
  const { value, error, reload } = useLoaded((signal) => get('GET /api/health', {}, signal), ['health'], turn);
  const [again] = useState(() => () => setTurn((before) => before + 1));
  useEvery(REFRESH_MS, again);
  return (
    <div class="view">
      <header class="view-head">
        <h1>Health</h1>
        {value && <StatusBadge of={value.health.status} />}
      </header>
      {value === undefined && (error ? <Failed message={error.message} retry={reload} /> : <Loading what="Loading" />)}
      {value && (
        <>
          <div class="columns three">
            <LogCard of={value} />
            <BroadcastCard of={value} />
            <MirrorCard of={value} />
          </div>
          {value.health.cluster && <ClusterCard of={value.health.cluster} />}
          <SnapshotsCard of={value} onTaken={again} />
          <VerifyCard of={value} onDone={again} />
        </>
      )}
    </div>
  );
}

interface OfHealth {
  readonly of: HealthDetail;
}

function LogCard({ of: { health, diskBytes } }: OfHealth): JSX.Element {
  const { log, retention } = health;
  return (
    <Card title="Log" side={<Badge tone={log.status === 'ready' ? 'ok' : 'bad'}>{log.status}</Badge>}>
      <Facts
        of={[
          ['Last position', count(log.head)],
          ['Committed', log.committed === log.head ? 'everything' : `up to ${count(log.committed)}`],
          ['Updates', log.head < log.first ? 'none' : `${count(log.first)} to ${count(log.head)}`],
          ['Views', `from position ${count(retention.begin)} on`],
          ['Held by', retention.heldBy],
          ['Stored', log.durable ? 'on disk' : 'in memory'],
          ['Size on disk', diskBytes === null ? undefined : bytes(diskBytes)],
          ['Retention', retention.running ? 'discarding old updates now' : undefined],
          ['Last error', retention.lastError && <span class="error-text">{retention.lastError}</span>],
        ]}
      />
    </Card>
  );
}

const CONNECTION_TONE: Readonly<Record<ServerHealth['state'], Tone>> = {
  connecting: 'accent',
  connected: 'ok',
  reconnecting: 'warn',
  failed: 'bad',
  closed: undefined,
};

function ConnectionBadge({ of }: { readonly of: ServerHealth['state'] }): JSX.Element {
  return (
    <Badge tone={CONNECTION_TONE[of]}>
      <span class={`dot ${CONNECTION_TONE[of] ?? ''}`} />
      {of}
    </Badge>
  );
}

type Fact = readonly [string, ComponentChildren];

/** Address and state of a server, for the facts of a card. */
function useServerFacts(server: ServerHealth | undefined): readonly Fact[] {
  const now = useNow();
  if (server === undefined) return [];
  const { address, since, lastError, state } = server;
  return [
    ['Server', <code key="address">{address}</code>],
    ['Since', <time key="since" title={dateTime(since)}>{`${state} for ${duration(Math.max(0, now - since))}`}</time>],
    [
      'Last error',
      lastError && (
        <span class={state === 'connected' ? 'soft' : 'error-text'}>
          {lastError.message} <span class="muted">({ago(lastError.at, now)})</span>
        </span>
      ),
    ],
  ];
}

function BroadcastCard({ of: { health, lastPublished } }: OfHealth): JSX.Element {
  const { topics, log, nats } = health;
  const behind = lastPublished === null ? 0 : log.committed - lastPublished;
  const server = useServerFacts(nats);
  if (topics.length === 0 && nats === undefined) {
    return (
      <Card title="Broadcast · NATS">
        <Empty title="No topics" icon="updates">
          Set a topic and a NATS server to broadcast updates.
        </Empty>
      </Card>
    );
  }
  return (
    <Card title="Broadcast · NATS" side={nats && <ConnectionBadge of={nats.state} />}>
      <div class="stack">
        <Facts
          of={[
            ...server,
            [
              'Published',
              lastPublished === null ? 'the broadcaster does not run' : `up to position ${count(lastPublished)}`,
            ],
            ['Behind', lastPublished === null ? undefined : behind <= 0 ? 'nothing' : plural(behind, 'update')],
            ['Topics', count(topics.length)],
          ]}
        />
        <ul class="topics" aria-label="Topics">
          {topics.map((topic) => (
            <li key={topic} class="mono topic">
              {topic}
            </li>
          ))}
        </ul>
      </div>
    </Card>
  );
}

/** Kinds of problems that verify reports for a mirror that differs from the cache. */
const MIRROR_PROBLEMS: readonly string[] = ['missing', 'extra', 'different'];

function MirrorCard({ of: { health, mirror, verify } }: OfHealth): JSX.Element {
  const { redis } = health;
  const follower = health.followers.find(({ name }) => name === 'mirror');
  const server = useServerFacts(redis);
  const title = redis === undefined ? 'Mirror' : 'Mirror · Redis';
  if (mirror === null && follower === undefined && redis === undefined) {
    return (
      <Card title={title}>
        <Empty title="No mirror" icon="copy">
          Set a secondary, such as Redis, to mirror every update to it.
        </Empty>
      </Card>
    );
  }
  return (
    <Card
      title={title}
      side={
        redis ? (
          <ConnectionBadge of={redis.state} />
        ) : (
          follower && <Badge tone={follower.lag === 0 ? 'ok' : 'accent'}>{follower.state}</Badge>
        )
      }
    >
      <Facts
        of={[
          ...server,
          ['Backend', redis === undefined ? (mirror ?? undefined) : undefined],
          ['Follower', follower?.state],
          ['Behind', follower && (follower.lag === 0 ? 'nothing' : plural(follower.lag, 'update'))],
          ['Differences', differencesIn(verify.last)],
          [
            'Last error',
            redis === undefined && follower?.lastError ? (
              <span class="error-text">{follower.lastError}</span>
            ) : undefined,
          ],
        ]}
      />
    </Card>
  );
}

function differencesIn(last: LastVerification | null): string {
  if (last?.against !== 'mirror') return 'unknown; verify compares them';
  const differences = last.problems.filter(({ kind }) => MIRROR_PROBLEMS.includes(kind)).length;
  return differences === 0 ? 'none' : count(differences);
}

function SnapshotsCard({
  of: { snapshots, backup },
  onTaken,
}: OfHealth & { readonly onTaken: () => void }): JSX.Element {
  const [error, setError] = useState<string | undefined>(undefined);
  const [busy, setBusy] = useState(false);
  const take = async () => {
    setBusy(true);
    setError(undefined);
    await post('POST /api/backup').then(onTaken, (failed: Error) => setError(failed.message));
    setBusy(false);
  };
  const mayWrite = meta.value?.allowWrite === true;
  const isBusy = busy || backup?.running === true;
  return (
    <Card
      title="Snapshots"
      flush
      side={
        <>
          {backup && (
            <Badge tone={backup.enabled ? 'ok' : undefined}>
              {backup.enabled ? everySo(backup.settings) : 'on demand'}
            </Badge>
          )}
          <button
            type="button"
            class="button small"
            disabled={!mayWrite || isBusy || snapshots.state === 'none'}
            title={mayWrite ? undefined : 'The inspector was started without --allow-write'}
            onClick={() => void take()}
          >
            <Icon name="save" size={15} /> {isBusy ? 'Backing up …' : 'Back up now'}
          </button>
        </>
      }
    >
      {error !== undefined && (
        <p class="notice bad in-card" role="alert">
          {error}
        </p>
      )}
      {backup?.lastError && (
        <p class="notice bad in-card">
          {dateTime(backup.lastError.at)}: {backup.lastError.message}
        </p>
      )}
      {snapshots.state === 'none' && (
        <Empty title="Nowhere to keep snapshots">Set a data directory or a Redis server to store them.</Empty>
      )}
      {snapshots.state === 'unavailable' && (
        <p class="notice bad in-card" role="alert">
          The snapshots cannot be listed: {snapshots.reason}
        </p>
      )}
      {snapshots.state === 'listed' && snapshots.items.length === 0 && (
        <Empty title="No snapshots yet" icon="save">
          A snapshot is a consistent copy of the state at one position.
        </Empty>
      )}
      {snapshots.state === 'listed' && snapshots.items.length > 0 && <SnapshotTable of={snapshots.items} />}
    </Card>
  );
}

const everySo = ({ mode, interval }: { readonly mode: string; readonly interval: number }): string =>
  mode === 'periodic' ? `every ${interval} s` : mode.replace('_', ' ');

function SnapshotTable({ of }: { readonly of: readonly SnapshotInfo[] }): JSX.Element {
  const now = useNow();
  return (
    <div class="table-wrap">
      <table class="table">
        <thead>
          <tr>
            <th>Taken</th>
            <th class="r">Position</th>
            <th class="r">Namespaces</th>
            <th class="r">Entries</th>
            <th class="r">Size</th>
            <th>State</th>
          </tr>
        </thead>
        <tbody>
          {of.map((snapshot) => (
            <tr key={snapshot.id}>
              <td title={dateTime(snapshot.at)}>{ago(snapshot.at, now)}</td>
              <td class="r">{count(snapshot.position)}</td>
              <td class="r">{count(snapshot.namespaces)}</td>
              <td class="r">{count(snapshot.entries)}</td>
              <td class="r">{bytes(snapshot.bytes)}</td>
              <td>
                <Badge tone={snapshot.whole ? 'ok' : 'bad'}>
                  {snapshot.whole ? 'whole' : (snapshot.problem ?? 'not whole')}
                </Badge>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
