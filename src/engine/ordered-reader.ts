import type { MaybePromise } from '../backends/base-context-cache.ts';
import { publicEntry } from '../core/decide.ts';
import type { Entry } from '../core/namespace-state.ts';
import { mayMigrate, openedEntry, valueIn } from '../core/opened.ts';
import { next, type Range } from '../core/range.ts';
import { mayBeSealed, type SubjectDoor } from '../core/sealed.ts';
import { NameOrder, taken } from '../core/tables/name-order.ts';
import type { ValueTest } from '../core/where.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import { type ColdOrder, ColdOrders } from './cold-orders.ts';

/** Keys whose values are read from a custom primary together. */
const READ_TOGETHER = 64;

/** Keys that an iteration tests before it gives its caller the opportunity to pause. */
const PAUSE = 256;

/** An iteration: with `for await` if a custom primary answers with promises. */
export type Iteration<T> = IterableIterator<T> | AsyncIterableIterator<T>;

/** Reads of a cache whose custom primary keeps the values. */
export interface PrimaryReads {
  readonly synchronous: boolean;
  keys(namespace: string): MaybePromise<string[]>;
  namespaces(): MaybePromise<string[]>;
  /** Returns the entries of the keys that are there. */
  entriesOf(keys: readonly string[], namespace: string): MaybePromise<Entry[]>;
}

/**
 * Reads names in order of code point. Iterations are live: each step reads the present. A key that is there all the time
 * is yielded exactly once.
 */
export class OrderedReader {
  readonly #registry: NamespaceRegistry;
  readonly #primary: PrimaryReads | undefined;
  readonly #now: () => number;
  readonly #subjects: SubjectDoor;
  readonly #cold: ColdOrders;

  constructor(
    registry: NamespaceRegistry,
    primary: PrimaryReads | undefined,
    now: () => number,
    subjects: SubjectDoor,
  ) {
    this.#subjects = subjects;
    this.#registry = registry;
    this.#primary = primary;
    this.#now = now;
    this.#cold = new ColdOrders(registry);
  }

  keys(namespace: string, range: Range): Iteration<string> {
    const primary = this.#primary;
    if (primary === undefined)
      return this.#live(namespace, range, (key, cold) => this.#keyIfLive(namespace, key, cold));
    return fromPrimary(primary, namespace, range, (keys) => keys);
  }

  /** Yields the entries whose keys `may` accepts; no other value is read. */
  entries(namespace: string, range: Range, may?: (key: string) => boolean): Iteration<Entry> {
    const primary = this.#primary;
    if (primary === undefined)
      return this.#live(namespace, range, (key) => (may?.(key) === false ? undefined : this.#entry(namespace, key)));
    return fromPrimary(primary, namespace, range, (keys) =>
      primary.entriesOf(may === undefined ? keys : keys.filter(may), namespace),
    );
  }

  /**
   * Yields the entries whose keys `may` accepts and whose values pass a test, and `undefined` after every {@link PAUSE} others. Only
   * for a cache that keeps its values itself.
   */
  matching(
    namespace: string,
    range: Range,
    test: ValueTest,
    may?: (key: string) => boolean,
  ): Generator<Entry | undefined, void, undefined> {
    let others = 0;
    const isMigrated = mayMigrate(this.#subjects, namespace);
    const pick = (key: string): readonly Entry[] | undefined => {
      const value = may?.(key) === false ? undefined : this.#registry.value(namespace, key, this.#now);
      const isOther = isMigrated || mayBeSealed(value);
      if (value !== undefined && (isOther || test(value))) {
        const entry = this.#entry(namespace, key);
        const readable = valueIn(entry);
        if (entry !== undefined && readable !== undefined && (!isOther || test(readable))) return [entry];
      }
      others += 1;
      return others % PAUSE === 0 ? [] : undefined;
    };
    return (function* (picked) {
      for (const [entry] of picked) yield entry;
    })(this.#live(namespace, range, pick));
  }

  listKeys(namespace: string, range: Range): MaybePromise<string[]> {
    if (this.#primary === undefined) return [...(this.keys(namespace, range) as Iterable<string>)];
    const keys = this.#primary.keys(namespace);
    return keys instanceof Promise ? keys.then((names) => within(names, range)) : within(keys, range);
  }

  listNamespaces(range: Range): MaybePromise<string[]> {
    if (this.#primary !== undefined) {
      const held = this.#primary.namespaces();
      return held instanceof Promise ? held.then((names) => within(names, range)) : within(held, range);
    }
    const found: string[] = [];
    for (const name of range.limit === 0 ? [] : this.#registry.order.names(range)) {
      if (this.#registry.isListed(name) && found.push(name) === range.limit) break;
    }
    return found;
  }

  /**
   * Yields what `pick` returns for the keys in order, except `undefined`. A namespace may change, be cleared, leave memory
   * and come back between two steps; the iteration then goes on behind the last key.
   */
  *#live<T>(
    namespace: string,
    range: Range,
    pick: (key: string, cold: ColdOrder | undefined) => T | undefined,
  ): Generator<T, void, undefined> {
    let { low, high } = range;
    let left = range.limit;
    for (let done = left === 0; !done; ) {
      done = true;
      const state = this.#registry.stateInMemory(namespace);
      const cold = state === undefined ? this.#cold.of(namespace) : undefined;
      const order = state?.order ?? (cold as ColdOrder).order;
      for (const key of order.names({ low, high, reverse: range.reverse })) {
        const picked = pick(key, cold);
        if (picked === undefined) continue;
        yield picked;
        left -= 1;
        if (left === 0) return;
        const isSame = this.#registry.stateInMemory(namespace) === state && (state?.order ?? order) === order;
        if (isSame) continue;
        if (range.reverse) high = key;
        else low = next(key);
        done = false;
        break;
      }
    }
  }

  #keyIfLive(namespace: string, key: string, cold: ColdOrder | undefined): string | undefined {
    const state = this.#registry.stateInMemory(namespace);
    if (state === undefined) {
      return cold?.expires && this.#registry.entry(namespace, key, this.#now) === undefined ? undefined : key;
    }
    const now = this.#now();
    return state.nextExpiryAt() > now || state.isLive(key, now) ? key : undefined;
  }

  #entry(namespace: string, key: string): Entry | undefined {
    const entry = this.#registry.entry(namespace, key, this.#now);
    return entry && openedEntry(this.#subjects, publicEntry(namespace, key, entry));
  }
}

/** Returns the names of a range, sorted. */
function within(names: readonly string[], range: Range): string[] {
  return [...taken(new NameOrder(new Set(names)), range)];
}

/** Reads the keys of a custom primary once and sorts them; then reads what belongs to them, some keys at a time. */
function fromPrimary<T>(
  primary: PrimaryReads,
  namespace: string,
  range: Range,
  read: (keys: readonly string[]) => MaybePromise<readonly T[]>,
): Iteration<T> {
  if (primary.synchronous) {
    return (function* () {
      const groups = grouped(primary.keys(namespace) as string[], range);
      for (let group = groups.next(0); group.value !== undefined; ) {
        const found = read(group.value) as readonly T[];
        yield* found;
        group = groups.next(found.length);
      }
    })();
  }
  return (async function* () {
    const groups = grouped(await primary.keys(namespace), range);
    for (let group = groups.next(0); group.value !== undefined; ) {
      const found = await read(group.value);
      yield* found;
      group = groups.next(found.length);
    }
  })();
}

/** Yields the keys of a range in groups. Takes the number of keys of the last group that were found; the limit is of those. */
function* grouped(keys: readonly string[], range: Range): Generator<string[], undefined, number> {
  const names = [...new NameOrder(new Set(keys)).names(range)];
  let left = range.limit;
  for (let start = 0; start < names.length && left > 0; ) {
    const group = names.slice(start, start + Math.min(READ_TOGETHER, left));
    start += group.length;
    left -= yield group;
  }
  return undefined;
}
