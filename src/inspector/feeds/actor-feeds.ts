import type { Clock } from '../../core/clock.ts';
import type { ObservedActor } from '../../engine/inspection.ts';
import type { Inspectable } from '../inspectable.ts';
import type { ActorTransition, ServerMessage } from '../live-protocol.ts';
import type { MachineGraph } from '../protocol.ts';
import type { Actors } from '../reads/actors.ts';
import type { Feed, StartFeed } from './feed.ts';

/** Interval between two comparisons with the last message, milliseconds. */
const LOOK_MS = 200;
/** Most transitions of one batch; the newest. */
const MAX_TRANSITIONS = 200;

/** The parts that actor feeds work with. */
export interface ActorFeedParts {
  readonly cache: Inspectable;
  readonly clock: Clock;
  readonly actors: Actors;
  readonly graphs: readonly MachineGraph[];
}

/** Calls `changed` every `LOOK_MS` if there is news. Returns a function that stops it. */
function looking(clock: Clock, isNews: () => boolean, changed: () => void): () => void {
  let timer: unknown;
  const look = () => {
    try {
      if (isNews()) changed();
    } catch {
      // `collect` meets the same error and reports it.
      changed();
    }
  };
  const wait = () => {
    timer = clock.setTimeout(() => {
      look();
      wait();
    }, LOOK_MS);
    clock.unref?.(timer);
  };
  wait();
  return () => clock.clearTimeout(timer);
}

/** Sends supervisor and followers at once, and again whenever one has changed. */
export function actorsFeed({ clock, actors }: ActorFeedParts): StartFeed {
  return (id, changed) => {
    let sent = '';
    const now = () => ({ supervisor: actors.supervisor(), followers: actors.followers() });
    const stop = looking(clock, () => JSON.stringify(now()) !== sent, changed);
    changed();
    return {
      collect: () => {
        const present = now();
        sent = JSON.stringify(present);
        return { type: 'actors', id, ...present };
      },
      stop,
    };
  };
}

/** Sends the transitions of one actor as they happen. */
export function actorFeed(parts: ActorFeedParts, actor: string): StartFeed {
  return (id, changed) => new ActorFeed(parts, actor, id, changed);
}

class ActorFeed implements Feed {
  readonly #parts: ActorFeedParts;
  readonly #actor: string;
  readonly #id: string;
  readonly #changed: () => void;
  readonly #stopLooking: () => void;
  #observed: ObservedActor | undefined;
  #unsubscribe: () => void = () => {};
  #state: string | undefined;
  #transitions: ActorTransition[] = [];
  #stayed = 0;
  #sampledAway = 0;
  #sent: string | undefined;

  constructor(parts: ActorFeedParts, actor: string, id: string, changed: () => void) {
    this.#parts = parts;
    this.#actor = actor;
    this.#id = id;
    this.#changed = changed;
    this.#observe();
    this.#stopLooking = looking(parts.clock, () => this.#look(), changed);
    changed();
  }

  collect(): ServerMessage | undefined {
    const actor = this.#parts.actors.find(this.#actor) ?? null;
    const text = JSON.stringify(actor);
    if (text === this.#sent && this.#stayed === 0 && this.#transitions.length === 0) return undefined;
    this.#sent = text;
    const [transitions, stayed, sampledAway] = [this.#transitions, this.#stayed, this.#sampledAway];
    this.#transitions = [];
    this.#stayed = 0;
    this.#sampledAway = 0;
    return { type: 'actor', id: this.#id, actor, transitions, stayed, sampledAway };
  }

  stop(): void {
    this.#stopLooking();
    this.#unsubscribe();
  }

  /** Returns whether the actor has changed. A namespace has a new actor after a restart and after hydration. */
  #look(): boolean {
    if (this.#parts.cache.inspection.actor(this.#actor) !== this.#observed) this.#observe();
    return JSON.stringify(this.#parts.actors.find(this.#actor) ?? null) !== this.#sent;
  }

  #observe(): void {
    this.#unsubscribe();
    this.#unsubscribe = () => {};
    const observed = this.#parts.cache.inspection.actor(this.#actor);
    this.#observed = observed;
    this.#enter(stateOf(observed?.getSnapshot()));
    if (observed === undefined) return;
    const subscription = observed.subscribe({
      next: (snapshot) => this.#enter(stateOf(snapshot)),
      error: () => this.#changed(),
      complete: () => this.#changed(),
    });
    this.#unsubscribe = () => subscription.unsubscribe();
  }

  #enter(to: string | undefined): void {
    const from = this.#state;
    this.#state = to;
    if (to === undefined || from === undefined) return;
    this.#changed();
    if (to === from) {
      this.#stayed += 1;
      return;
    }
    if (this.#transitions.length >= MAX_TRANSITIONS) {
      this.#transitions.shift();
      this.#sampledAway += 1;
    }
    const at = this.#parts.clock.now();
    this.#transitions.push({ at, from, to, transitions: this.#between(from, to) });
  }

  #between(from: string, to: string): string[] {
    const machine = this.#actor.split(':', 1)[0];
    const graph = this.#parts.graphs.find(({ id }) => id === machine);
    const leads = graph?.transitions.filter(
      ({ source, target }) => target === to && (source === from || source === ''),
    );
    return (leads ?? []).map(({ id }) => id);
  }
}

function stateOf(snapshot: { readonly value?: unknown } | undefined): string | undefined {
  return typeof snapshot?.value === 'string' ? snapshot.value : undefined;
}
