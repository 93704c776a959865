import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { ActorTransition } from '../../live-protocol.ts';
import type { Actor, MachineGraph } from '../../protocol.ts';
import { get } from '../api.ts';
import { bytes, count, plural, preciseTime, short } from '../format.ts';
import { subscribe } from '../live.ts';
import { useLoaded } from '../load.ts';
import { hrefOf } from '../router.ts';
import { Statechart } from '../statechart/statechart.tsx';
import { Badge, Card, Empty, Facts, Failed, Loading } from '../ui/parts.tsx';
import { nameOf, STATUS_TONE } from './actor-names.ts';

/** Transitions shown. */
const SHOWN = 50;

/** An actor, and its transitions since the view was opened. */
interface Watched {
  /** `null` if the actor does not exist; `undefined` while it is being loaded. */
  readonly actor: Actor | null | undefined;
  /** Newest first. */
  readonly transitions: readonly ActorTransition[];
  /** Number of batches of transitions so far. Each batch lights its transitions. */
  readonly turn: number;
  readonly stayed: number;
  readonly sampledAway: number;
  readonly error: string | undefined;
}

const NOTHING: Watched = {
  actor: undefined,
  transitions: [],
  turn: 0,
  stayed: 0,
  sampledAway: 0,
  error: undefined,
};

function useActor(id: string): Watched {
  const [watched, setWatched] = useState(NOTHING);
  useEffect(
    () =>
      subscribe(
        { feed: 'actor', actor: id },
        ({ actor, transitions, stayed, sampledAway }) =>
          setWatched((before) => ({
            actor,
            transitions: [...[...transitions].reverse(), ...before.transitions].slice(0, SHOWN),
            turn: before.turn + (transitions.length > 0 ? 1 : 0),
            stayed: before.stayed + stayed,
            sampledAway: before.sampledAway + sampledAway,
            error: undefined,
          })),
        (error) => setWatched((before) => ({ ...before, error })),
      ),
    [id],
  );
  return watched;
}

/** One actor: its figures, its statechart with the current state highlighted, and its transitions as they happen. */
export function ActorDetail({ id }: { readonly id: string }): JSX.Element {
  const watched = useActor(id);
  const { value: machines } = useLoaded((signal) => get('GET /api/machines', {}, signal), []);
  const { actor, error } = watched;
  if (error !== undefined) return <Failed message={error} />;
  if (actor === undefined) return <Loading what="Loading" />;
  if (actor === null) return <NoActor id={id} />;
  const machine = machines?.machines.find((each) => each.id === actor.machine);
  return (
    <>
      <Card
        title={actor.kind === 'supervisor' ? 'supervisor' : nameOf(id)}
        side={
          <>
            <Badge>{actor.kind}</Badge>
            <Badge tone={STATUS_TONE[actor.status]}>{actor.status}</Badge>
          </>
        }
      >
        <AboutActor of={actor} />
      </Card>
      <Card title="Statechart" side={<Badge tone="accent">{actor.state ?? 'not in memory'}</Badge>}>
        {machine === undefined ? <Loading what="Loading" /> : <Chart machine={machine} watched={watched} />}
      </Card>
      <Card
        title="Transitions"
        side={
          <span class="muted small-text num">
            {plural(watched.stayed, 'event')} without a transition
            {watched.sampledAway > 0 && ` · ${count(watched.sampledAway)} sampled away`}
          </span>
        }
        flush
      >
        <Transitions of={watched.transitions} />
      </Card>
    </>
  );
}

interface ChartProps {
  readonly machine: MachineGraph;
  readonly watched: Watched;
}

function Chart({ machine, watched: { actor, transitions, turn } }: ChartProps): JSX.Element {
  const newest = transitions[0];
  const taken = useMemo(() => newest && { ids: newest.transitions, turn }, [newest, turn]);
  const state = actor?.state ?? null;
  return <Statechart machine={machine} current={state === null ? [] : [state]} taken={taken} />;
}

function AboutActor({ of }: { readonly of: Actor }): JSX.Element {
  const { namespace, follower } = of;
  return (
    <Facts
      wide
      of={[
        ['Load', of.load === null ? '–' : `${short(of.load)} updates/s`],
        ['Waiting', count(of.waiting)],
        ['Restarts', count(of.restarts)],
        ['Version', known(namespace?.version, count)],
        ['Keys', known(namespace?.keys, count)],
        ['Values', known(namespace?.bytes, bytes)],
        ['Last update', known(namespace?.position, (at) => <PositionLink at={at} />)],
        ['Checkpoint', follower ? count(follower.checkpoint) : undefined],
        ['Queue', follower ? plural(follower.lag, 'update') : undefined],
        ['Delivered', follower ? count(follower.delivered) : undefined],
        ['Retries', follower ? count(follower.attempts) : undefined],
        ['Data', namespace ? <a href={hrefOf('data', { ns: namespace.name })}>Show its keys</a> : undefined],
        ['Last error', of.lastError === null ? undefined : <span class="error-text">{of.lastError}</span>],
      ]}
    />
  );
}

/** Keeps `undefined`, which leaves out the line. */
function known<Shown>(number: number | null | undefined, show: (number: number) => Shown): Shown | '…' | undefined {
  return number === null ? '…' : number === undefined ? undefined : show(number);
}

/** A position, as a link to its view. */
export function PositionLink({ at }: { readonly at: number }): JSX.Element {
  return (
    <a class="num" href={hrefOf('time', { at })}>
      {count(at)}
    </a>
  );
}

function Transitions({ of }: { readonly of: readonly ActorTransition[] }): JSX.Element {
  if (of.length === 0) {
    return <Empty title="No transitions yet">They appear here as they happen, and light up in the statechart.</Empty>;
  }
  return (
    <ol class="transitions" aria-label="Transitions, newest first">
      {of.map((transition, place) => (
        <li key={`${transition.at}.${of.length - place}`}>
          <span class="mono muted">{preciseTime(transition.at)}</span>
          <span class="mono">
            {transition.from} <span class="muted">→</span> <strong>{transition.to}</strong>
          </span>
        </li>
      ))}
    </ol>
  );
}

/** Shown if the chosen actor does not exist. */
function NoActor({ id }: { readonly id: string }): JSX.Element {
  return (
    <Card title={nameOf(id)}>
      <Empty title="There is no such actor" icon="actors">
        It was dropped, or it never existed. Choose another one in the list.
      </Empty>
    </Card>
  );
}
