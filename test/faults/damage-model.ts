import { isDeepStrictEqual } from 'node:util';
import type { AgentContextCache, Entry, Update } from '../../src/index.ts';
import type { Random } from './support.ts';

/** An entry as readers see it. */
type Seen = Omit<Entry, 'namespace' | 'key'>;
type State = ReadonlyMap<string, ReadonlyMap<string, Seen>>;

/** How many views, namespaces in each view, and histories of keys are compared. */
const VIEWS = 2;
const NAMESPACES = 6;
const HISTORIES = 3;

/** All updates of a directory, and the state after any prefix of them, without any code of the package. */
export class Recorded {
  readonly updates: readonly Update[];
  readonly #keys = new Map<string, Set<string>>();
  readonly #states = new Map<number, State>();

  constructor(updates: readonly Update[]) {
    this.updates = updates;
    for (const { namespace, key } of updates) {
      const keys = this.#keys.get(namespace) ?? new Set();
      this.#keys.set(namespace, key === null ? keys : keys.add(key));
    }
  }

  /** Returns the namespaces and their entries at a position. */
  at(position: number): State {
    const known = this.#states.get(position);
    if (known !== undefined) return known;
    const state = new Map<string, Map<string, Seen>>();
    for (const update of this.updates.slice(0, position)) fold(state, update);
    if (this.#states.size > 20) this.#states.clear();
    this.#states.set(position, state);
    return state;
  }

  /**
   * Describes how a cache differs from the prefix at its position; `undefined` if it does not. Reads namespaces cold
   * first.
   */
  async difference(cache: AgentContextCache, random: Random): Promise<string | undefined> {
    const { position } = cache;
    if (position > this.updates.length) return `it is at position ${position} of ${this.updates.length}`;
    return (
      this.#coldDifference(cache, this.at(position)) ??
      differenceOf(cache, this.at(position), this.at(position).keys()) ??
      (await this.#logDifference(cache)) ??
      this.#viewDifference(cache, random) ??
      (await this.#historyDifference(cache, random))
    );
  }

  /** Describes how the state differs from that of the prefix at its position, ignoring log and past. */
  stateDifference(cache: AgentContextCache): string | undefined {
    const state = this.at(cache.position);
    return this.#coldDifference(cache, state) ?? differenceOf(cache, state, state.keys());
  }

  #coldDifference(cache: AgentContextCache, state: State): string | undefined {
    for (const [namespace, keys] of this.#keys) {
      for (const key of keys) {
        const expected = state.get(namespace)?.get(key);
        const found = cache.entry(key, namespace);
        if (!isSame(found, expected)) return `reading ${namespace} ${key}: ${brief(found)}, not ${brief(expected)}`;
      }
    }
    return undefined;
  }

  async #logDifference(cache: AgentContextCache): Promise<string | undefined> {
    const begin = cache.health().log.first - 1;
    let next = begin;
    for await (const update of cache.readLog({ from: begin + 1 })) {
      if (!isDeepStrictEqual(update, this.updates[next])) return `update ${next + 1} is ${brief(update)}`;
      next += 1;
    }
    return next === cache.position ? undefined : `the log ends at ${next} in place of ${cache.position}`;
  }

  #viewDifference(cache: AgentContextCache, random: Random): string | undefined {
    for (let looked = 0; looked < VIEWS; looked += 1) {
      const { begin } = cache.health().retention;
      const position = begin + random.below(cache.position - begin + 1);
      const state = this.at(position);
      const names = Array.from({ length: NAMESPACES }, () => random.pick(['default', ...state.keys()]));
      const found = differenceOf(cache.at(position), state, names);
      if (found !== undefined) return `as of ${position}: ${found}`;
    }
    return undefined;
  }

  async #historyDifference(cache: AgentContextCache, random: Random): Promise<string | undefined> {
    const past = this.updates.slice(cache.health().retention.begin, cache.position);
    for (let looked = 0; looked < HISTORIES && past.length > 0; looked += 1) {
      const { namespace, key } = random.pick(past);
      if (key === null) continue;
      const expected = past.filter((update) => update.namespace === namespace && update.key === key);
      const found: number[] = [];
      for await (const { position, operation } of cache.history(key, namespace)) {
        if (operation !== 'clear_namespace') found.unshift(position);
      }
      if (
        !isDeepStrictEqual(
          found,
          expected.map(({ position }) => position),
        )
      )
        return `the history of ${namespace} ${key} is ${brief(found)}`;
    }
    return undefined;
  }
}

interface Shown {
  listNamespaces(): string[];
  entries(namespace: string): Entry[];
}

function differenceOf(shown: Shown, state: State, names: Iterable<string>): string | undefined {
  const listed = shown.listNamespaces();
  const expected = new Set(['default', ...state.keys()]);
  if (!isDeepStrictEqual(new Set(listed), expected)) return `it has the namespaces ${brief(listed)}`;
  for (const name of names) {
    const entries = shown.entries(name);
    const space = state.get(name);
    if (entries.length !== (space?.size ?? 0)) return `${name} has ${entries.length} entries, not ${space?.size}`;
    for (const entry of entries) {
      if (!isSame(entry, space?.get(entry.key))) return `in ${name} ${entry.key} is ${brief(entry)}`;
    }
  }
  return undefined;
}

function isSame(found: Entry | undefined, expected: Seen | undefined): boolean {
  if (found === undefined || expected === undefined) return found === expected;
  const { namespace: _, key: __, ...seen } = found;
  return isDeepStrictEqual(seen, expected);
}

function fold(state: Map<string, Map<string, Seen>>, update: Update): void {
  const { operation, namespace, key, value, version, at, agent, expiresAt, drop } = update;
  const entries = state.get(namespace) ?? new Map<string, Seen>();
  state.set(namespace, entries);
  const before = key === null ? undefined : entries.get(key);
  const createdAt = before?.createdAt ?? at;
  const written = { version, createdAt, updatedAt: at, expiresAt, agent };
  if (key === null) entries.clear();
  else if (operation === 'set') entries.set(key, { value, ...written });
  else if (operation === 'touch' && before !== undefined) entries.set(key, { value: before.value, ...written });
  else entries.delete(key);
  if (drop) state.delete(namespace);
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}
