import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { FollowerHealth } from '../../../followers/follower.ts';
import type { Actor, AgentsDetail, Overview, OverviewSample } from '../../protocol.ts';
import { get } from '../api.ts';
import { ago, bytes, count, duration, plural, short } from '../format.ts';
import { epoch, meta, subscribe } from '../live.ts';
import { useLoaded } from '../load.ts';
import { hrefOf } from '../router.ts';
import { Chart, type Gap, type Series } from '../ui/chart.tsx';
import { useEvery, useNow } from '../ui/hooks.ts';
import { Icon } from '../ui/icons.tsx';
import { Badge, Card, Empty, Failed, Figure, Loading, type Tone } from '../ui/parts.tsx';
import { AgentsCard, ConflictsCard } from './agents-card.tsx';

/** Milliseconds that the charts show. */
const SHOWN_MS = 10 * 60_000;
/** Seconds between two requests for what no feed brings. */
const REFRESH_SECONDS = 10;
/** Milliseconds between two requests for the agents. */
const AGENTS_MS = 2_000;
/** An agent is active if it wrote in these last milliseconds. */
const ACTIVE_MS = 60_000;
/** Milliseconds without a sample that count as a gap: samples come once a second. */
const GAP_MS = 3_000;

export function OverviewView(): JSX.Element {
  const { value, error, reload } = useLoaded((signal) => get('GET /api/overview', {}, signal), ['overview']);
  const samples = useSamples(value);
  const followers = useFollowers();
  const agents = useAgents();
  const sample = samples.at(-1);
  useEffect(() => {
    if (sample !== undefined && Math.round(sample.at / 1000) % REFRESH_SECONDS === 0) reload();
  }, [sample?.at]);
  return (
    <div class="view">
      <header class="view-head">
        <h1>Overview</h1>
        {value && <StatusBadge of={value.status} />}
      </header>
      {value === undefined && (error ? <Failed message={error.message} retry={reload} /> : <Loading what="Loading" />)}
      {value && <Figures of={value} sample={sample} agents={agents} />}
      {value && value.errors.count > 0 && <LastError of={value} />}
      {agents && (
        <div class="columns">
          <AgentsCard of={agents} />
          <ConflictsCard of={agents} />
        </div>
      )}
      {value && <Charts samples={samples} />}
      {value && <Followers of={followers ?? value.followers} />}
    </div>
  );
}

export function StatusBadge({ of }: { readonly of: Overview['status'] }): JSX.Element {
  const tone: Tone = of === 'ok' ? 'ok' : of === 'degraded' ? 'warn' : 'bad';
  return (
    <Badge tone={tone}>
      <span class={`dot ${tone}`} />
      {of}
    </Badge>
  );
}

function useAgents(): AgentsDetail | undefined {
  const [turn, setTurn] = useState(0);
  const [again] = useState(() => () => setTurn((before) => before + 1));
  const { value } = useLoaded((signal) => get('GET /api/agents', { limit: 100 }, signal), ['agents'], turn);
  useEvery(AGENTS_MS, again);
  return value;
}

/** The samples that the server had, and those that the feed has brought since. */
function useSamples(overview: Overview | undefined): readonly OverviewSample[] {
  const [fed, setFed] = useState<readonly OverviewSample[]>([]);
  useEffect(() => subscribe({ feed: 'overview' }, ({ sample }) => setFed((all) => [...all.slice(-700), sample])), []);
  const connection = epoch.value;
  useEffect(() => setFed([]), [connection]);
  const had = overview?.samples;
  return useMemo(() => merged(had ?? [], fed), [had, fed]);
}

function useFollowers(): readonly FollowerHealth[] | undefined {
  const [followers, setFollowers] = useState<readonly FollowerHealth[] | undefined>(undefined);
  const hear = (actors: readonly Actor[]) =>
    setFollowers(actors.flatMap(({ follower }) => (follower === null ? [] : [follower])));
  useEffect(() => subscribe({ feed: 'actors' }, (message) => hear(message.followers)), []);
  return followers;
}

function merged(had: readonly OverviewSample[], fed: readonly OverviewSample[]): readonly OverviewSample[] {
  const byInstant = new Map([...had, ...fed].map((sample) => [sample.at, sample]));
  const all = [...byInstant.values()].sort((a, b) => a.at - b.at);
  const from = (all.at(-1)?.at ?? 0) - SHOWN_MS;
  return all.filter(({ at }) => at >= from);
}

interface FiguresProps {
  readonly of: Overview;
  readonly sample: OverviewSample | undefined;
  readonly agents: AgentsDetail | undefined;
}

function Figures({ of, sample, agents }: FiguresProps): JSX.Element {
  const now = useNow();
  const latency = sample?.commitP50Ms ?? null;
  const slowest = sample?.commitP99Ms ?? null;
  const keys = sample?.keys ?? of.keys;
  const size = sample?.bytes ?? of.bytes;
  return (
    <dl class="figures">
      <Figure name="Namespaces">
        {count(sample?.namespaces ?? of.namespaces.total)}{' '}
        <small>{count(sample?.resident ?? of.namespaces.resident)} in memory</small>
      </Figure>
      <Figure name="Agents">
        {agents === undefined ? '…' : count(agents.total)}{' '}
        {agents && <small>{count(activeIn(agents, now))} active</small>}
      </Figure>
      <Figure name="Conflicts">
        {/* The list below counts them, too: one source, so that both say the same. */}
        {count(agents?.conflicts.count ?? of.conflicts)} <small>refused writes</small>
      </Figure>
      <Figure name="Keys">{keys === null ? '…' : count(keys)}</Figure>
      <Figure name="Values">{size === null ? '…' : bytes(size)}</Figure>
      <Figure name="Updates per second">{short(sample?.updatesPerSecond ?? 0)}</Figure>
      <Figure name="Commit latency, p50">
        {latency === null ? '–' : atLeastOne(latency)}{' '}
        <small>{slowest === null ? 'no writes now' : `p99 ${atLeastOne(slowest)}`}</small>
      </Figure>
      <Figure name="Position">
        {count(sample?.position ?? of.log.head)} <small>{of.log.durable ? 'on disk' : 'in memory'}</small>
      </Figure>
      <Figure name="Restarts">
        {count(sample?.restarts ?? of.restarts)}{' '}
        {of.namespaces.failed > 0 && <small>{count(of.namespaces.failed)} given up</small>}
      </Figure>
      <Figure name="Process">
        {bytes(sample?.heapBytes ?? of.process.heapBytes)} <small>up {duration(of.process.uptimeMs)}</small>
      </Figure>
    </dl>
  );
}

const activeIn = ({ agents }: AgentsDetail, now: number): number =>
  agents.filter(({ last }) => last !== null && now - last.at < ACTIVE_MS).length;

/** Latency is measured in whole milliseconds. */
const atLeastOne = (ms: number): string => (ms < 1 ? '< 1 ms' : duration(ms));

function LastError({ of: { errors } }: { readonly of: Overview }): JSX.Element {
  const now = meta.value?.now ?? 0;
  return (
    <div class="notice bad" role="status">
      <Icon name="warning" size={18} />
      <span>
        <strong>{plural(errors.count, 'failure')}</strong>
        {errors.last &&
          ` · last: ${errors.last.code} ${ago(errors.last.at, Math.max(now, errors.last.at))}: ${errors.last.message}`}
      </span>
    </div>
  );
}

function Charts({ samples: measured }: { readonly samples: readonly OverviewSample[] }): JSX.Element {
  const { at, samples, gaps } = useMemo(() => withGaps(measured), [measured]);
  const followers = useMemo(() => [...new Set(measured.flatMap(({ lag }) => Object.keys(lag)))], [measured]);
  const lines = useMemo(() => {
    const line = (name: string, value: (sample: OverviewSample) => number | null | undefined): Series => ({
      name,
      values: samples.map((sample) => (sample === null ? null : (value(sample) ?? null))),
    });
    return {
      rate: [line('updates/s', (sample) => sample.updatesPerSecond)],
      latency: [line('p50', (sample) => sample.commitP50Ms), line('p99', (sample) => sample.commitP99Ms)],
      lag: followers.map((name) => line(name, (sample) => sample.lag[name])),
      process: [line('event loop', (sample) => sample.loopMs)],
    };
  }, [samples, followers]);
  if (measured.length < 2) {
    return (
      <Card title="The last minutes">
        <Empty title="Measuring has just started" icon="overview">
          The cache is measured only while an inspector is open. The charts start within seconds.
        </Empty>
      </Card>
    );
  }
  const hasIdleSeconds = measured.some(({ commitP50Ms }) => commitP50Ms === null);
  return (
    <>
      {gaps.length > 0 && (
        <p class="muted small-text note" role="note">
          Shaded spans were not measured: the cache is measured only while an inspector is open.
        </p>
      )}
      <div class="columns">
        <Card title="Updates per second" flush>
          <Chart label="Updates per second" at={at} series={lines.rate} format={short} gaps={gaps} />
        </Card>
        <Card title="Commit latency" flush>
          <Chart
            label="Commit latency"
            at={at}
            series={lines.latency}
            format={duration}
            gaps={gaps}
            note={hasIdleSeconds ? 'The lines break in seconds without a write.' : undefined}
          />
        </Card>
        {followers.length > 0 && (
          <Card title="Lag of the followers, updates" flush>
            <Chart label="Lag" at={at} series={lines.lag} format={short} gaps={gaps} />
          </Card>
        )}
        <Card title="Longest turn of the event loop" flush>
          <Chart label="Event loop" at={at} series={lines.process} format={duration} gaps={gaps} />
        </Card>
      </div>
    </>
  );
}

interface Measured {
  readonly at: number[];
  readonly samples: (OverviewSample | null)[];
  readonly gaps: Gap[];
}

/** Breaks the lines where no inspector was open, and returns those spans. */
function withGaps(measured: readonly OverviewSample[]): Measured {
  const at: number[] = [];
  const samples: (OverviewSample | null)[] = [];
  const gaps: Gap[] = [];
  for (const sample of measured) {
    const before = at.at(-1);
    if (before !== undefined && sample.at - before > GAP_MS) {
      at.push(before + 1);
      samples.push(null);
      gaps.push({ from: before, to: sample.at });
    }
    at.push(sample.at);
    samples.push(sample);
  }
  return { at, samples, gaps };
}

const FOLLOWER_TONE: Readonly<Record<FollowerHealth['state'], Tone>> = {
  connecting: undefined,
  resyncing: 'accent',
  catchingUp: 'accent',
  following: 'ok',
  backingOff: 'warn',
  stalled: 'bad',
  stopped: undefined,
};

export function FollowerState({ of }: { readonly of: FollowerHealth['state'] }): JSX.Element {
  return <Badge tone={FOLLOWER_TONE[of]}>{of}</Badge>;
}

function Followers({ of }: { readonly of: readonly FollowerHealth[] }): JSX.Element {
  return (
    <Card title="Followers of the log" flush>
      {of.length === 0 ? (
        <Empty title="No followers">This cache has no mirror, topics or backup, and no data directory.</Empty>
      ) : (
        <div class="table-wrap">
          <table class="table">
            <thead>
              <tr>
                <th>Follower</th>
                <th>State</th>
                <th class="r">Checkpoint</th>
                <th class="r">Queue</th>
                <th class="r">Delivered</th>
                <th class="r">Skipped</th>
                <th class="r">Retries</th>
              </tr>
            </thead>
            <tbody>
              {of.map((follower) => (
                <FollowerRow key={follower.name} of={follower} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function FollowerRow({ of }: { readonly of: FollowerHealth }): JSX.Element {
  return (
    <tr>
      <td>
        <a href={hrefOf('actors', { id: `follower:${of.name}` })}>{of.name}</a>
        {of.lastError !== undefined && of.attempts > 0 && <div class="follower-error">{of.lastError}</div>}
      </td>
      <td>
        <FollowerState of={of.state} />
      </td>
      <td class="r">{count(of.checkpoint)}</td>
      <td class="r">{count(of.lag)}</td>
      <td class="r">{count(of.delivered)}</td>
      <td class="r">{count(of.skipped)}</td>
      <td class="r">{count(of.attempts)}</td>
    </tr>
  );
}
