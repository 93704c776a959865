import type { MachineGraph, MachineState, MachineTransition } from '../protocol.ts';

/** Bounds for a definition of another program. */
const MAX_STATES = 1_000;
const MAX_TRANSITIONS = 5_000;
const MAX_DEPTH = 32;

type Config = Readonly<Record<string, unknown>>;

/**
 * Returns the states and transitions of a statechart's configuration, ready to draw. The configuration is the argument of
 * `createMachine`, or the definition that another program sends. Parts that it cannot read are left out.
 */
export function machineGraph(config: unknown): MachineGraph | undefined {
  if (!isConfig(config)) return undefined;
  const builder = new GraphBuilder(typeof config.id === 'string' ? config.id : 'machine');
  builder.state(config, '', null, true, 0);
  return builder.graph();
}

class GraphBuilder {
  readonly #machine: string;
  readonly #states: MachineState[] = [];
  readonly #transitions: MachineTransition[] = [];
  /** Paths of states that have an id of their own. */
  readonly #ids = new Map<string, string>();

  constructor(machine: string) {
    this.#machine = machine;
  }

  state(config: Config, id: string, parent: string | null, initial: boolean, depth: number): void {
    if (this.#states.length >= MAX_STATES || depth > MAX_DEPTH) return;
    const children = isConfig(config.states) ? Object.entries(config.states) : [];
    if (typeof config.id === 'string') this.#ids.set(config.id, id);
    const outgoing = this.#outgoing(config, id);
    // The root is the frame around everything, and drawn only if it has transitions of its own.
    if (id !== '' || outgoing.length > 0) {
      this.#states.push({
        ...{ id, parent, initial, label: id === '' ? this.#machine : id.slice(id.lastIndexOf('.') + 1) },
        type: typeOf(config, children.length),
        description: typeof config.description === 'string' ? config.description : null,
        ...{ entry: namesOf(config.entry), exit: namesOf(config.exit), invokes: list(config.invoke).map(invokeName) },
      });
    }
    this.#transitions.push(...outgoing.slice(0, MAX_TRANSITIONS - this.#transitions.length));
    const first = config.type === 'parallel' ? undefined : initialOf(config.initial);
    for (const [name, child] of children) {
      if (!isConfig(child)) continue;
      const path = id === '' ? name : `${id}.${name}`;
      this.state(child, path, id === '' ? null : id, first === undefined || first === name, depth + 1);
    }
  }

  graph(): MachineGraph {
    const there = new Set(this.#states.map(({ id }) => id));
    const transitions = this.#transitions.map((transition, index) => {
      const target = transition.target === null ? null : this.#resolve(transition.source, transition.target);
      return { ...transition, id: String(index), target };
    });
    // A transition to a missing state cannot be drawn.
    const drawn = transitions.filter(({ target }) => target === null || there.has(target));
    return { id: this.#machine, states: this.#states, transitions: drawn };
  }

  #outgoing(config: Config, source: string): MachineTransition[] {
    const found: MachineTransition[] = [];
    const add = (event: string, candidates: unknown) => {
      for (const candidate of list(candidates)) found.push(transitionOf(source, event, candidate));
    };
    if (isConfig(config.on)) for (const [event, to] of Object.entries(config.on)) add(eventName(event), to);
    if (config.always !== undefined) add('', config.always);
    if (isConfig(config.after)) for (const [delay, to] of Object.entries(config.after)) add(`after ${delay}`, to);
    if (config.onDone !== undefined) add('done', config.onDone);
    for (const invoke of list(config.invoke)) {
      if (!isConfig(invoke)) continue;
      const name = invokeName(invoke);
      if (invoke.onDone !== undefined) add(`${name} done`, invoke.onDone);
      if (invoke.onError !== undefined) add(`${name} failed`, invoke.onError);
    }
    return found;
  }

  /** Resolves a target: `sibling`, `.child`, `#id` or `#id.child`. */
  #resolve(source: string, target: string): string {
    if (target.startsWith('.')) return source === '' ? target.slice(1) : source + target;
    if (target.startsWith('#')) {
      const [id = '', ...rest] = target.slice(1).split('.');
      const base = this.#ids.get(id) ?? '';
      return [base, ...rest].filter((part) => part !== '').join('.');
    }
    const above = source.slice(0, Math.max(0, source.lastIndexOf('.')));
    return above === '' ? target : `${above}.${target}`;
  }
}

function isConfig(value: unknown): value is Config {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

function transitionOf(source: string, event: string, candidate: unknown): MachineTransition {
  if (typeof candidate === 'string') return { id: '', source, target: candidate, event, guard: null, actions: [] };
  const { target, guard, actions } = isConfig(candidate) ? candidate : {};
  const [first] = list(target);
  return {
    ...{ id: '', source, event, actions: namesOf(actions) },
    target: typeof first === 'string' ? first : null,
    guard: guard === undefined ? null : nameOf(guard),
  };
}

function typeOf({ type }: Config, children: number): MachineState['type'] {
  if (type === 'parallel' || type === 'final' || type === 'history') return type;
  return children > 0 ? 'compound' : 'atomic';
}

function initialOf(initial: unknown): string | undefined {
  const target = isConfig(initial) ? list(initial.target)[0] : initial;
  return typeof target === 'string' ? target.replace(/^\./, '') : undefined;
}

function namesOf(actions: unknown): string[] {
  return list(actions).map(nameOf);
}

/** Returns the name of an action or a guard, given as a name, as `{ type }` or as a function. */
function nameOf(named: unknown): string {
  if (typeof named === 'string') return named;
  if (typeof named === 'function') return named.name || 'a function';
  return isConfig(named) && typeof named.type === 'string' ? named.type : 'a function';
}

function invokeName(invoke: unknown): string {
  if (!isConfig(invoke)) return String(invoke);
  const { src, id } = invoke;
  if (typeof src === 'string') return src;
  return typeof id === 'string' ? id : 'an actor';
}

const XSTATE_EVENTS: readonly (readonly [prefix: string, text: string])[] = [
  ['xstate.error.actor.*', 'an actor failed'],
  ['xstate.done.actor.*', 'an actor is done'],
];

function eventName(event: string): string {
  return XSTATE_EVENTS.find(([prefix]) => prefix === event)?.[1] ?? event;
}
