import type { Clock } from '../../core/clock.ts';
import type { JsonValue } from '../../core/value.ts';
import type { ForeignEvent } from '../live-protocol.ts';
import type { ForeignActor, ForeignList, MachineGraph } from '../protocol.ts';
import { machineGraph } from '../reads/machine-graph.ts';
import type { Redactor } from '../reads/redactor.ts';
import type { Feed, StartFeed } from './feed.ts';

/** Most actors kept; those silent for longest are discarded. */
const MAX_ACTORS = 1_000;
/** Most events of one batch; the newest. */
const MAX_EVENTS = 200;
/** Most actors of one batch; the others come with the next. */
const MAX_ACTORS_SENT = 50;
/** Longest context or event that is shown, characters of JSON. A longer one is shown as its length. */
const MAX_SHOWN = 20_000;
/** Longest definition that is drawn, characters. */
const MAX_DEFINITION = 1_000_000;

type Message = Readonly<Record<string, unknown>>;

/**
 * The actors of other programs, as the WebSocket producer of `@statelyai/inspect` sends them: one JSON message for each
 * actor (`@xstate.actor`), state (`@xstate.snapshot`) and event (`@xstate.event`).
 */
export class ForeignActors {
  readonly #redactor: Redactor;
  readonly #clock: Clock;
  readonly #actors = new Map<string, ForeignActor>();
  readonly #feeds = new Set<ForeignFeed>();
  #dropped = 0;
  #producers = 0;

  constructor(redactor: Redactor, clock: Clock) {
    this.#redactor = redactor;
    this.#clock = clock;
  }

  /** Adds a producer. Returns the function to call with each of its messages, which ignores invalid ones. */
  producer(): (text: string) => void {
    this.#producers += 1;
    const prefix = `${this.#producers}/`;
    return (text) => {
      try {
        const message = parse(text);
        if (message !== undefined) this.#take(prefix, message);
      } catch {
        // The message is nested too deep to walk, and cannot be shown.
      }
    };
  }

  list(): ForeignList {
    return { actors: [...this.#actors.values()], dropped: this.#dropped };
  }

  /** Sends actors and events as they come. */
  feed(): StartFeed {
    return (id, changed) => {
      const feed = new ForeignFeed(id, changed, () => this.#feeds.delete(feed));
      for (const actor of this.#actors.values()) feed.actor(actor);
      this.#feeds.add(feed);
      return feed;
    };
  }

  #take(prefix: string, message: Message): void {
    const { sessionId, type } = message;
    if (typeof sessionId !== 'string') return;
    const id = prefix + sessionId;
    const known = this.#actors.get(id);
    const actor = type === '@xstate.actor' ? introduced(id, prefix, message) : (known ?? introduced(id, prefix, {}));
    if (type === '@xstate.event') this.#event(actor, prefix, message);
    else if (type === '@xstate.snapshot' || type === '@xstate.actor') this.#keep(this.#shown(actor, message.snapshot));
  }

  #event(actor: ForeignActor, prefix: string, { event, sourceId }: Message): void {
    this.#keep({ ...actor, events: actor.events + 1 });
    if (this.#feeds.size === 0) return;
    const type = isObject(event) && typeof event.type === 'string' ? event.type : '';
    const source = typeof sourceId === 'string' ? prefix + sourceId : null;
    const shown = this.#show(actor.name, event);
    for (const feed of this.#feeds) feed.event({ at: this.#clock.now(), actor: actor.id, source, type, event: shown });
  }

  #shown(actor: ForeignActor, snapshot: unknown): ForeignActor {
    if (!isObject(snapshot)) return actor;
    const { value, status, context } = snapshot;
    return {
      ...actor,
      status: typeof status === 'string' ? status : actor.status,
      states: value === undefined ? actor.states : pathsOf(value),
      context: context === undefined ? actor.context : this.#show(actor.name, context),
    };
  }

  #keep(actor: ForeignActor): void {
    this.#actors.delete(actor.id);
    this.#actors.set(actor.id, actor);
    for (const oldest of this.#actors.keys()) {
      if (this.#actors.size <= MAX_ACTORS) break;
      this.#actors.delete(oldest);
      this.#dropped += 1;
    }
    for (const feed of this.#feeds) feed.actor(actor);
  }

  #show(name: string, value: unknown): JsonValue {
    const text = JSON.stringify(value ?? null);
    if (text.length > MAX_SHOWN) return `(${text.length} characters)`;
    return this.#redactor.show('foreign', name, value as JsonValue).value;
  }
}

class ForeignFeed implements Feed {
  readonly #id: string;
  readonly #changed: () => void;
  readonly #stop: () => void;
  readonly #actors = new Map<string, ForeignActor>();
  #events: ForeignEvent[] = [];
  #sampledAway = 0;

  constructor(id: string, changed: () => void, stop: () => void) {
    this.#id = id;
    this.#changed = changed;
    this.#stop = stop;
  }

  actor(actor: ForeignActor): void {
    this.#actors.set(actor.id, actor);
    this.#changed();
  }

  event(event: ForeignEvent): void {
    this.#events.push(event);
    if (this.#events.length > MAX_EVENTS * 2) this.#cut();
    this.#changed();
  }

  collect() {
    if (this.#events.length > MAX_EVENTS) this.#cut();
    const actors = [...this.#actors.values()].slice(0, MAX_ACTORS_SENT);
    for (const { id } of actors) this.#actors.delete(id);
    if (this.#actors.size > 0) this.#changed();
    const [events, sampledAway] = [this.#events, this.#sampledAway];
    this.#events = [];
    this.#sampledAway = 0;
    return { type: 'foreign', id: this.#id, actors, events, sampledAway } as const;
  }

  stop(): void {
    this.#stop();
  }

  /** Discards the oldest events. */
  #cut(): void {
    this.#sampledAway += this.#events.length - MAX_EVENTS;
    this.#events = this.#events.slice(-MAX_EVENTS);
  }
}

function introduced(id: string, prefix: string, { name, parentId, definition }: Message): ForeignActor {
  const machine = graphOf(definition);
  const ownName = typeof name === 'string' && name !== '' ? name : (machine?.id ?? id);
  return {
    ...{ id, machine, name: ownName, status: 'active', states: [], context: null, events: 0 },
    parent: typeof parentId === 'string' ? prefix + parentId : null,
  };
}

function graphOf(definition: unknown): MachineGraph | null {
  if (typeof definition !== 'string' || definition.length > MAX_DEFINITION) return null;
  const graph = machineGraph(parse(definition));
  return graph === undefined || graph.states.length === 0 ? null : graph;
}

function parse(text: string): Message | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the paths of a state value: `'a'` gives `['a']`, `{ a: { b: 'c' }, d: {} }` gives `['a.b.c', 'd']`. */
function pathsOf(value: unknown, above = '', depth = 0): string[] {
  const path = (name: string) => (above === '' ? name : `${above}.${name}`);
  if (typeof value === 'string') return [path(value)];
  if (!isObject(value) || depth > 32) return above === '' ? [] : [above];
  const inner = Object.entries(value).flatMap(([name, part]) => pathsOf(part, path(name), depth + 1));
  return inner.length === 0 && above !== '' ? [above] : inner;
}
