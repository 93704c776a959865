import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import { publicEntry } from '../core/decide.ts';
import { type Allowed, type Found, plainSearch, type SearchOptions } from '../core/entry-search.ts';
import { checkName, DEFAULT_NAMESPACE, sortNames } from '../core/names.ts';
import type { Entry, NamespaceState } from '../core/namespace-state.ts';
import { openedEntry, openedValue } from '../core/opened.ts';
import { type NamespaceRangeOptions, type RangeOptions, rangeOf } from '../core/range.ts';
import { mayBeSealed, type SubjectDoor } from '../core/sealed.ts';
import type { JsonValue } from '../core/value.ts';
import type { Activity } from '../monitoring/activity.ts';
import type { CommandFields } from '../monitoring/channels.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import { EntrySearch } from './entry-search.ts';
import { type Iteration, OrderedReader } from './ordered-reader.ts';
import type { Sequencer } from './sequencer.ts';

/**
 * Answers reads: at once from memory or the state table, or with the answer of a custom primary. Never creates a
 * namespace.
 */
export class Reader {
  readonly #registry: NamespaceRegistry;
  readonly #primary: BaseContextCache | undefined;
  readonly #now: () => number;
  /** Adopts the entries that the primary held before. */
  readonly #hydrate: (namespace: string) => MaybePromise<unknown>;
  readonly #ordered: OrderedReader;
  readonly #search: EntrySearch;
  readonly #activity: Activity;
  readonly #subjects: SubjectDoor;
  readonly #migrates: boolean;
  /** The node of a cluster. Once it has left service, what it holds may be wrong, and no read is answered. */
  readonly #node: Pick<Sequencer, 'failure'> | undefined;

  constructor(
    registry: NamespaceRegistry,
    primary: BaseContextCache | undefined,
    clock: Clock,
    hydrate: (namespace: string) => MaybePromise<unknown>,
    activity: Activity,
    subjects: SubjectDoor,
    node: Pick<Sequencer, 'failure'> | undefined,
  ) {
    this.#subjects = subjects;
    this.#migrates = subjects.migrations !== undefined;
    this.#activity = activity;
    this.#node = node;
    this.#registry = registry;
    this.#primary = primary;
    this.#now = () => clock.now();
    this.#hydrate = hydrate;
    const reads = primary && {
      synchronous: primary.synchronous === true,
      keys: (namespace: string) => this.#allKeys(namespace),
      namespaces: () => this.#allNamespaces(),
      entriesOf: (keys: readonly string[], namespace: string) => this.#entriesOf(keys, namespace),
    };
    this.#ordered = new OrderedReader(registry, reads, this.#now, subjects);
    this.#search = new EntrySearch({ registry, primary: reads, ordered: this.#ordered, clock, subjects });
  }

  get(key: string, namespace: string): MaybePromise<JsonValue | undefined> {
    return this.#activity.gets.begins() ? this.#observedGet(key, namespace) : this.#get(key, namespace);
  }

  /** Apart from `get`, which would otherwise allocate what the closure captures on every call. */
  #observedGet(key: string, namespace: string): MaybePromise<JsonValue | undefined> {
    const { gets } = this.#activity;
    return this.#activity.read(gets, { namespace, key }, () => this.#get(key, namespace), one);
  }

  getMany(keys: readonly string[], namespace: string): MaybePromise<(JsonValue | undefined)[]> {
    return this.#counted(
      'context.getMany',
      { namespace, size: keys.length },
      () => {
        const values = keys.map((key) => this.#get(key, namespace));
        return values.some((value) => value instanceof Promise)
          ? Promise.all(values)
          : (values as (JsonValue | undefined)[]);
      },
      (values) => values.filter((value) => value !== undefined).length,
    );
  }

  has(key: string, namespace: string): MaybePromise<boolean> {
    const read = () => andThen(this.#get(key, namespace), (value) => value !== undefined);
    return this.#counted('context.has', { namespace, key }, read, Number);
  }

  entry(key: string, namespace: string): MaybePromise<Entry | undefined> {
    const read = () => this.#noted(this.#entry(key, namespace));
    return this.#counted('context.entry', { namespace, key }, read, one);
  }

  #get(key: string, namespace: string): MaybePromise<JsonValue | undefined> {
    if (this.#node?.failure !== undefined) throw this.#node.failure;
    if (this.#primary !== undefined) return this.#noted(this.#getFromPrimary(key, namespace));
    let value = this.#registry.value(namespace, key, this.#now);
    if (this.#migrates || mayBeSealed(value)) value = openedValue(this.#subjects, namespace, key, value);
    if (value !== undefined) {
      this.#activity.hits += 1;
      return value;
    }
    checkName('namespace', namespace);
    checkName('key', key);
    this.#activity.misses += 1;
    return undefined;
  }

  #entry(key: string, namespace: string): MaybePromise<Entry | undefined> {
    checkName('namespace', namespace);
    checkName('key', key);
    if (this.#primary === undefined) return this.#known(key, namespace);
    return andThen(this.#hydrate(namespace), () =>
      andThen(this.#storedInPrimary(key, namespace), (value) => {
        const entry = this.#known(key, namespace);
        return entry === undefined || value === undefined ? undefined : this.#withValue(entry, value);
      }),
    );
  }

  /** In no particular order. With `may` only the entries whose keys it accepts; no other value is opened. */
  entries(namespace: string, may?: MayKey): MaybePromise<Entry[]> {
    return this.#counted('context.entries', { namespace }, () => this.#allEntries(namespace, may), many);
  }

  #allEntries(namespace: string, may: MayKey | undefined): MaybePromise<Entry[]> {
    checkName('namespace', namespace);
    if (this.#primary === undefined) return this.#knownEntries(namespace, may);
    return andThen(this.#hydrate(namespace), () => {
      const known = this.#knownEntries(namespace, may);
      return this.#withValues(known, namespace);
    });
  }

  /** Yields the keys in order of code point. An iteration is counted when it is created; its reads are the caller's loop. */
  keysInOrder(namespace: string, options?: RangeOptions): Iteration<string> {
    if (this.#node?.failure !== undefined) throw this.#node.failure;
    checkName('namespace', namespace);
    this.#activity.meter('context.keys').count += 1;
    return this.#ordered.keys(namespace, rangeOf('keys', options));
  }

  /** Yields the entries in order of their keys' code points, with `may` only those whose keys it accepts. */
  entriesInOrder(namespace: string, options?: RangeOptions, may?: MayKey): Iteration<Entry> {
    if (this.#node?.failure !== undefined) throw this.#node.failure;
    checkName('namespace', namespace);
    this.#activity.meter('context.entries').count += 1;
    return this.#ordered.entries(namespace, rangeOf('entries', options), may);
  }

  /** Sorted by code point if there are options, otherwise in no particular order. */
  keys(namespace: string, options?: RangeOptions): MaybePromise<string[]> {
    const read = () => {
      checkName('namespace', namespace);
      if (options === undefined) return this.#allKeys(namespace);
      return this.#ordered.listKeys(namespace, rangeOf('listKeys', options));
    };
    return this.#counted('context.keys', { namespace }, read, many);
  }

  /** Sorted by code point. */
  namespaces(options?: NamespaceRangeOptions): MaybePromise<string[]> {
    const read = () =>
      options === undefined
        ? andThen(this.#allNamespaces(), sortNames)
        : this.#ordered.listNamespaces(rangeOf('listNamespaces', options));
    return this.#counted('context.namespaces', {}, read, many);
  }

  /** Resolves with the entries whose values fit, of those that are allowed. */
  search(options?: SearchOptions, allowed?: Allowed): Promise<Found> {
    const read = async () => this.#search.page(plainSearch(options), allowed);
    return this.#counted('context.search', {}, read, ({ entries }) => entries.length);
  }

  /** Counts a read, and measures and publishes it if it must be. */
  #counted<T>(
    command: string,
    about: Partial<Pick<CommandFields, 'namespace' | 'size' | 'key'>>,
    read: () => T,
    found: (result: Awaited<T>) => number,
  ): T {
    if (this.#node?.failure !== undefined) throw this.#node.failure;
    const meter = this.#activity.meter(command);
    return meter.begins() ? this.#activity.read(meter, about, read, found) : read();
  }

  /** Counts a hit or a miss. */
  #noted<T>(read: MaybePromise<T | undefined>): MaybePromise<T | undefined> {
    return andThen(read, (value) => {
      if (value === undefined) this.#activity.misses += 1;
      else this.#activity.hits += 1;
      return value;
    });
  }

  #allKeys(namespace: string): MaybePromise<string[]> {
    if (this.#primary === undefined) return this.#knownKeys(namespace);
    return andThen(this.#primary.listKeys(namespace), (keys) =>
      keys.filter((key) => !this.#hasExpired(key, namespace)),
    );
  }

  #allNamespaces(): MaybePromise<string[]> {
    const known = this.#registry.names();
    if (this.#primary === undefined) return known;
    return andThen(this.#primary.listNamespaces(), (held) => [...new Set([DEFAULT_NAMESPACE, ...known, ...held])]);
  }

  #entriesOf(keys: readonly string[], namespace: string): MaybePromise<Entry[]> {
    return andThen(this.#hydrate(namespace), () =>
      this.#withValues(
        keys.flatMap((key) => this.#known(key, namespace) ?? []),
        namespace,
      ),
    );
  }

  /** Adds the values that the primary keeps. */
  #withValues(known: readonly Entry[], namespace: string): MaybePromise<Entry[]> {
    const keys = known.map(({ key }) => key);
    return andThen(this.#primary?.getMany(keys, namespace) ?? [], (values) =>
      known.flatMap((entry, index) => {
        const value = values[index];
        return value === undefined ? [] : [this.#withValue(entry, value)];
      }),
    );
  }

  #withValue(entry: Entry, value: JsonValue): Entry {
    return openedEntry(this.#subjects, Object.freeze({ ...entry, value }));
  }

  #getFromPrimary(key: string, namespace: string): MaybePromise<JsonValue | undefined> {
    return andThen(this.#storedInPrimary(key, namespace), (value) =>
      openedValue(this.#subjects, namespace, key, value),
    );
  }

  #storedInPrimary(key: string, namespace: string): MaybePromise<JsonValue | undefined> {
    checkName('namespace', namespace);
    checkName('key', key);
    if (this.#hasExpired(key, namespace)) return this.#primary?.synchronous ? undefined : Promise.resolve(undefined);
    return this.#primary?.get(key, namespace);
  }

  /** Returns whether the entry has expired. Readers miss it at once, even while the primary still holds it. */
  #hasExpired(key: string, namespace: string): boolean {
    const entry = this.#registry.stateInMemory(namespace)?.entries.get(key);
    return entry !== undefined && entry.expiresAt !== null && entry.expiresAt <= this.#now();
  }

  #known(key: string, namespace: string): Entry | undefined {
    const entry = this.#registry.entry(namespace, key, this.#now);
    return entry === undefined ? undefined : openedEntry(this.#subjects, publicEntry(namespace, key, entry));
  }

  #knownKeys(namespace: string): string[] {
    const state = this.#state(namespace);
    if (state === undefined) return [];
    const now = this.#now();
    if (state.nextExpiryAt() > now) return [...state.entries.keys()];
    return [...state.entries.keys()].filter((key) => state.isLive(key, now));
  }

  #knownEntries(namespace: string, may: MayKey | undefined): Entry[] {
    const state = this.#state(namespace);
    if (state === undefined) return [];
    const found: Entry[] = [];
    const now = this.#now();
    state.entries.visit((key, entry) => {
      if ((entry.expiresAt === null || entry.expiresAt > now) && may?.(key) !== false)
        found.push(openedEntry(this.#subjects, publicEntry(namespace, key, entry)));
    });
    return found;
  }

  /** Returns a namespace's state from memory or disk. Does not hydrate the namespace. */
  #state(namespace: string): NamespaceState | undefined {
    const state = this.#registry.stateInMemory(namespace);
    if (state !== undefined) return state;
    return this.#registry.has(namespace) ? this.#registry.stateOnDisk(namespace) : undefined;
  }
}

/** Returns whether the entry of a key may be read. */
type MayKey = (key: string) => boolean;

const one = (value: unknown): number => (value === undefined ? 0 : 1);
const many = (values: readonly unknown[]): number => values.length;

/** Calls `next` with the value: at once, or when the promise resolves. */
export function andThen<A, B>(value: MaybePromise<A>, next: (value: A) => MaybePromise<B>): MaybePromise<B> {
  return value instanceof Promise ? value.then(next) : next(value);
}
