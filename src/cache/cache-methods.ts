import type { WatchedUpdate, Watching, WatchOptions } from '../actors/watch.ts';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { Briefing, BriefingOptions } from '../core/briefing.ts';
import type { Changes, ChangesOptions } from '../core/changes.ts';
import type {
  Acknowledgement,
  Appended,
  AppendOptions,
  BatchOperation,
  ClearOptions,
  Incremented,
  IncrementOptions,
  MakeOptions,
  ManyOptions,
  RemoveOptions,
  TouchOptions,
  TransactionOperation,
  TransactionResult,
  WriteOptions,
} from '../core/command.ts';
import type { Contradictions, ContradictionsOptions } from '../core/contradiction.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import { type NamespaceName, nameOf, writtenName } from '../core/namespace-parts.ts';
import type { Entry } from '../core/namespace-state.ts';
import type {
  AnyNamespaces,
  BatchOf,
  DefaultNamespace,
  FilterOf,
  FoundIn,
  KeyArgument,
  KeyOf,
  ManyArgument,
  NamespaceArgument,
  NamespaceOf,
  NamespaceTypes,
  PartsArgument,
  SearchOf,
  TransactionOf,
  UpdateOf,
  ValueArgument,
  ValueOf,
} from '../core/namespace-types.ts';
import type { OriginOptions } from '../core/origin.ts';
import type { NamespaceRangeOptions, RangeOptions } from '../core/range.ts';
import type { RetractOptions, RetractReport } from '../core/retract-options.ts';
import { checkedStamp, type Stamp } from '../core/stamp.ts';
import type { Impact, ImpactOptions, Provenance, ProvenanceOptions, WriteTarget } from '../core/trace.ts';
import type { Update } from '../core/update.ts';
import type { WatchFilter } from '../core/update-filter.ts';
import type { UpdateResult } from '../core/update-result.ts';
import type { JsonValue } from '../core/value.ts';
import type { EntryVersion } from '../past/history.ts';
import { type HandleOptions, wrapOfHandle } from './basis-handle.ts';
import { briefing } from './briefing.ts';
import type { GovernanceMethods } from './governance-methods.ts';
import type { MethodParts } from './method-parts.ts';
import { NamespaceHandle } from './namespace-handle.ts';
import { REACHED_OPTIONS, SUBSCRIBE_FILTER } from './option-names.ts';
import { stampedParts } from './stamping-writer.ts';
import { commandOfContradictions, commandOfImpact, commandOfProvenance, commandOfRetract } from './trace-commands.ts';
import { type Transaction, transact } from './transact.ts';
import type { Answer, Iteration, ReadOptions, WaitOptions } from './types.ts';

/**
 * The methods that read, write and watch namespaces, which a cache, its clients and the handles of {@link CacheMethods.as}
 * share. `S` types the namespaces, `P` is the primary backend.
 */
export class CacheMethods<S extends NamespaceTypes<S> = AnyNamespaces, P extends BaseContextCache = BaseContextCache>
  implements GovernanceMethods<S>
{
  readonly #given: MethodParts;
  readonly #parts: MethodParts;
  readonly #reader: MethodParts['reader'];
  readonly #writer: MethodParts['writer'];
  readonly #nameOf: MethodParts['nameOf'];

  /** @internal */
  constructor(given: MethodParts) {
    const { agent, stamp, wraps = [] } = given;
    this.#given = given;
    const own = agent === undefined ? given : { ...given, ...given.restrict?.(given, agent) };
    const named = stamp === undefined ? own : stampedParts(own, stamp);
    const parts = wraps.reduce((inner, wrap) => wrap(inner), named);
    this.#parts = parts;
    this.#reader = parts.reader;
    this.#writer = parts.writer;
    this.#nameOf = parts.nameOf;
  }

  #named(namespace: NamespaceName = DEFAULT_NAMESPACE): string {
    return writtenName(namespace);
  }

  /** Position of the last update; of a client, the last that it knows of, from an acknowledgement, a watch or the server's greeting. */
  get position(): number {
    return this.#parts.position();
  }

  /**
   * Resolves when everything written so far is durable. In a cluster: when everything that was acknowledged anywhere before this call is
   * visible on this node, and in its data directory if it has one. A client gets the same from the node that it asks.
   */
  flush(): Promise<void> {
    return this.#parts.flush();
  }

  /**
   * Resolves once everything that was acknowledged anywhere in the cluster before this call is visible here, for a client on the
   * node that it is connected to. Calls that are made in the same turn share one message. Without a cluster that is so at once.
   *
   * @throws {ContextCacheError} (as a rejection) `LOG_UNAVAILABLE` or `OUTCOME_UNKNOWN` if the cluster does not answer in time;
   *   `OVERLOADED`; `LOG_CORRUPT` if this node has left service; `CLOSED`.
   */
  barrier(): Promise<void> {
    return this.#parts.barrier();
  }

  /**
   * Resolves once this node, or that of a client, has applied everything up to a position, such as that of a write on another node.
   *
   * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`; `LOG_CORRUPT` if this node has left service; the signal's
   *   reason.
   */
  reached(position: number, options: Pick<WaitOptions, 'signal'> = {}): Promise<void> {
    return this.#guarded(() => this.#parts.reached(position, REACHED_OPTIONS.checked(options)));
  }

  /**
   * Returns the value, deeply frozen; `undefined` if the key is missing or has expired.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE` if this node of a cluster, or the node that a client is connected to, may be further
   *   behind than `maxStalenessMs`; `LOG_CORRUPT` if it has left service.
   */
  get<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
    options?: ReadOptions,
  ): Answer<P, ValueOf<S, N, K> | undefined>;
  get(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE, options?: ReadOptions): unknown {
    if (options !== undefined) return this.#parts.readWith(key, this.#nameOf(namespace), options);
    return this.#reader.get(key, this.#nameOf(namespace));
  }

  /** Returns the values of several keys in the order given, `undefined` for each that is missing. */
  getMany<const K extends string, const N extends string = DefaultNamespace>(
    keys: readonly KeyArgument<S, N, K>[],
    namespace?: NamespaceArgument<S, N>,
  ): Answer<P, (ValueOf<S, N, K> | undefined)[]>;
  getMany(keys: readonly string[], namespace: NamespaceName = DEFAULT_NAMESPACE): unknown {
    return this.#reader.getMany(keys, this.#nameOf(namespace));
  }

  /** Returns whether the key has a value. */
  has<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Answer<P, boolean>;
  has(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): unknown {
    return this.#reader.has(key, this.#nameOf(namespace));
  }

  /** Returns the value with its version, instants and agent. */
  entry<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Answer<P, Entry<ValueOf<S, N, K>> | undefined>;
  entry(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): unknown {
    return this.#reader.entry(key, this.#nameOf(namespace));
  }

  /**
   * Returns all entries of a namespace in no particular order. With options, even without any in them, yields entries in
   * order of their keys, like {@link keys}.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
   *
   * @example
   * ```ts
   * for (const { key, value } of cache.entries('messages', { reverse: true, limit: 10 })) console.log(key, value);
   * ```
   */
  entries<const N extends string = DefaultNamespace>(
    namespace?: NamespaceArgument<S, N>,
  ): Answer<P, Entry<ValueOf<S, N, KeyOf<S, N>>>[]>;
  entries<const N extends string = DefaultNamespace>(
    namespace: NamespaceArgument<S, N> | undefined,
    options: RangeOptions,
  ): Iteration<P, Entry<ValueOf<S, N, KeyOf<S, N>>>>;
  entries(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RangeOptions): unknown {
    const name = this.#nameOf(namespace);
    return options === undefined ? this.#reader.entries(name) : this.#reader.entriesInOrder(name, options);
  }

  /**
   * Yields the keys of a namespace in order of code point, all or a part, as the loop asks for them. The first such read
   * of a namespace sorts its keys (0.15 s of the processor for 100,000); from then on the order is kept while the
   * namespace is in memory, at 9 to 16 bytes a key, and finding the first key takes microseconds.
   *
   * The iteration is live. A key that is there all the time is yielded exactly once, and none twice; a key that is added
   * or removed meanwhile is yielded if it is there when the iteration reaches it. For a read that does not change, read a
   * view: `cache.at(cache.position).keys('trip')`.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
   *
   * @example `for (const key of cache.keys('trip', { prefix: 'day:', limit: 10 })) console.log(key);`
   */
  keys<const N extends string = DefaultNamespace>(
    namespace?: NamespaceArgument<S, N>,
    options?: RangeOptions,
  ): Iteration<P, KeyOf<S, N>>;
  keys(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RangeOptions): unknown {
    return this.#reader.keysInOrder(this.#nameOf(namespace), options);
  }

  /**
   * Returns the keys of a namespace in no particular order; none if the namespace is missing. With options, returns those
   * that {@link keys} yields, in order.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
   */
  listKeys<const N extends string = DefaultNamespace>(
    namespace?: NamespaceArgument<S, N>,
    options?: RangeOptions,
  ): Answer<P, KeyOf<S, N>[]>;
  listKeys(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RangeOptions): unknown {
    return this.#reader.keys(this.#nameOf(namespace), options);
  }

  /**
   * Returns `default` and every namespace that was written to and not dropped, sorted by code point. With options,
   * returns a part of them from an index that the first such call creates.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`.
   *
   * @example `cache.listNamespaces({ prefix: ['store', 'user'], limit: 10 });`
   */
  listNamespaces(options?: NamespaceRangeOptions): Answer<P, NamespaceOf<S>[]> {
    return this.#reader.namespaces(options) as Answer<P, NamespaceOf<S>[]>;
  }

  /** Resolves with the entries whose values fit, in order of namespace and key, a page at a time: see `SearchOptions`. */
  search<const N extends string = NamespaceOf<S>>(options?: SearchOf<S, N>): Promise<FoundIn<S, N>>;
  search(options?: object): Promise<unknown> {
    return this.#guarded(() => this.#reader.search(options));
  }

  /**
   * Stores a value. The cache keeps a frozen copy, so the caller may change its own object afterwards.
   *
   * @throws {ContextCacheError} (as a rejection) `INVALID_NAME`, `INVALID_VALUE`, `INVALID_COMMAND`,
   *   `SCHEMA_MISMATCH`, `VERSION_CONFLICT`, `BACKEND_FAILED`, `LOG_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `OVERLOADED`,
   *   `NAMESPACE_UNAVAILABLE`, `CLOSED`.
   */
  set<const K extends string, const N extends string = DefaultNamespace, V = unknown>(
    key: KeyArgument<S, N, K>,
    value: ValueArgument<S, N, K, V>,
    namespace?: NamespaceArgument<S, N>,
    options?: WriteOptions,
  ): Promise<Acknowledgement>;
  set(key: string, value: unknown, namespace?: NamespaceName, options?: WriteOptions): Promise<Acknowledgement> {
    return this.#writer.set(key, value, this.#named(namespace), options);
  }

  /**
   * Stores several values of one namespace, all or none. A condition is that of each key; with `onConflict: 'skip'` the keys
   * for which it does not hold are left out.
   */
  setMany<const N extends string = DefaultNamespace, V = unknown>(
    values: ManyArgument<S, N, V>,
    namespace?: NamespaceArgument<S, N>,
    options?: ManyOptions,
  ): Promise<Acknowledgement>;
  setMany(values: object, namespace?: NamespaceName, options?: ManyOptions): Promise<Acknowledgement> {
    return this.#writer.setMany(values, this.#named(namespace), options);
  }

  /** Removes a key. Writes no update if the key is missing. */
  delete<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
    options?: RemoveOptions,
  ): Promise<Acknowledgement>;
  delete(key: string, namespace?: NamespaceName, options?: RemoveOptions): Promise<Acknowledgement> {
    return this.#writer.delete(key, this.#named(namespace), options);
  }

  /** Sets when an entry expires (`ttl` or `expiresAt`) and keeps its value. */
  touch<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace: NamespaceArgument<S, N> | undefined,
    options: TouchOptions,
  ): Promise<Acknowledgement>;
  touch(key: string, namespace: NamespaceName | undefined, options: TouchOptions): Promise<Acknowledgement> {
    return this.#writer.touch(key, this.#named(namespace), options);
  }

  /**
   * Adds `by` to the number of a key, atomically, and resolves with the new value. A missing key counts as 0. An entry keeps its
   * expiry unless `ttl` or `expiresAt` is given.
   *
   * @throws {ContextCacheError} (as a rejection) those of `set`; `INVALID_VALUE` if the key holds no number, or if the
   *   sum is not a finite number or, of integers, beyond 2^53 - 1.
   *
   * @example `const { value } = await cache.increment('attempts', 1, 'trip', { ttl: '1h' });`
   */
  increment<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    by?: number,
    namespace?: NamespaceArgument<S, N>,
    options?: IncrementOptions,
  ): Promise<Incremented>;
  increment(key: string, by = 1, namespace?: NamespaceName, options?: IncrementOptions): Promise<Incremented> {
    return this.#writer.increment(key, by, this.#named(namespace), options);
  }

  /**
   * Stores a value under the next key and resolves with that key. Keys of the same prefix are in the order of appending:
   * `prefix`, a letter for the number of digits, and the version of the namespace with this entry, as in `a7`, `b10`,
   * `c123`. No key is given twice, whatever was deleted or dropped meanwhile.
   *
   * @example `const { key } = await cache.append({ text: 'To Oslo' }, 'trip', { prefix: 'message:' });`
   */
  append<const N extends string = DefaultNamespace, V = unknown>(
    value: ValueArgument<S, N, KeyOf<S, N>, V>,
    namespace?: NamespaceArgument<S, N>,
    options?: AppendOptions,
  ): Promise<Appended>;
  append(value: unknown, namespace?: NamespaceName, options?: AppendOptions): Promise<Appended> {
    return this.#writer.append(value, this.#named(namespace), options);
  }

  /** Applies several operations to one namespace in order, all or none. Each operation sees the effects of those before it. */
  batch<const N extends string = DefaultNamespace>(
    operations: readonly BatchOf<S, N>[],
    namespace?: NamespaceArgument<S, N>,
    options?: OriginOptions,
  ): Promise<Acknowledgement>;
  batch(
    operations: readonly BatchOperation[],
    namespace?: NamespaceName,
    options?: OriginOptions,
  ): Promise<Acknowledgement> {
    return this.#writer.batch(operations, this.#named(namespace), options);
  }

  /**
   * Reads, changes and writes a value atomically. `change` gets the value (`undefined` if the key is missing) and
   * returns the new one, or `undefined` to leave it. It is called again if another writer changed the entry meanwhile. With
   * `ifAbsent` or `ifPresent` it is called only while that holds.
   */
  update<const K extends string, const N extends string = DefaultNamespace, V = unknown>(
    key: KeyArgument<S, N, K>,
    change: (value: ValueOf<S, N, K> | undefined) => MaybePromise<ValueArgument<S, N, K, V> | undefined>,
    namespace?: NamespaceArgument<S, N>,
    options?: WriteOptions,
  ): Promise<UpdateResult<ValueOf<S, N, K>>>;
  update(
    key: string,
    change: (value: never) => unknown,
    namespace?: NamespaceName,
    options?: WriteOptions,
  ): Promise<unknown> {
    return this.#writer.update(
      key,
      change as (value: JsonValue | undefined) => unknown,
      this.#named(namespace),
      options,
    );
  }

  /** Returns the value; if the key is missing, stores the result of `make` first. Concurrent callers share one `make`. */
  getOrSet<const K extends string, const N extends string = DefaultNamespace, V = unknown>(
    key: KeyArgument<S, N, K>,
    make: () => MaybePromise<ValueArgument<S, N, K, V>>,
    namespace?: NamespaceArgument<S, N>,
    options?: MakeOptions,
  ): Promise<ValueOf<S, N, K>>;
  getOrSet(key: string, make: () => unknown, namespace?: NamespaceName, options?: MakeOptions): Promise<unknown> {
    return this.#writer.getOrSet(key, make, this.#named(namespace), options);
  }

  /** Removes every key of a namespace, or those with a `prefix`, all or none. The namespace stays listed. */
  clearNamespace(namespace?: NamespaceOf<S> | PartsArgument<S>, options?: ClearOptions): Promise<Acknowledgement>;
  clearNamespace(namespace?: NamespaceName, options?: ClearOptions): Promise<Acknowledgement> {
    return this.#writer.clear(this.#named(namespace), options);
  }

  /** Removes a namespace with its keys. The next write to it begins it again, above every version that it has had. */
  dropNamespace(
    namespace: NamespaceOf<S> | PartsArgument<S> | undefined,
    options?: OriginOptions,
  ): Promise<Acknowledgement>;
  dropNamespace(namespace?: NamespaceName, options?: OriginOptions): Promise<Acknowledgement> {
    return this.#writer.drop(this.#named(namespace), options);
  }

  /**
   * Returns a handle that adds an agent and a `meta` to everything that is written through it, and through handles that are made
   * from it. Does not change what a write says itself: its own agent counts, and its own properties of `meta`.
   *
   * With `basis: true` the handle remembers which entries are read through it: by `get`, `getMany`, `has`, `entry`, `entries`,
   * `changes`, `watch`, `subscribe`, `transact` and `getOrSet`, also through handles made from it. Each write carries them as its
   * `basis`. Names that are listed, history and views do not count: give a `basis` for those.
   *
   * While the cache has grants, a handle of an agent, and each handle that is made from it, reads and writes what that agent has a
   * grant for. It refuses anything else with `ACCESS_DENIED`, also to write as another agent, and leaves it out of lists.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_COMMAND`.
   *
   * @example `const planner = cache.as({ agent: 'planner', meta: { task: 't-7' } }, { basis: true });`
   */
  as(stamp: Stamp, options?: HandleOptions): CacheMethods<S, P> {
    const checked = checkedStamp(stamp);
    const { agent = checked.agent, named, wraps = [] } = this.#given;
    const wrap = wrapOfHandle(checked, options);
    return new CacheMethods({ ...this.#given, agent, named: checked.agent ?? named, wraps: [...wraps, wrap] });
  }

  /**
   * Applies operations to several namespaces in order, all or none. Nobody sees a part of it: its updates follow each other in
   * the log, in one group with one operation id, and are mirrored together (up to 8,192 of them and 32 MiB of values). A view at the
   * position of the answer shows all of it. `check` demands a condition and changes nothing.
   *
   * @throws {ContextCacheError} (as a rejection) the errors of `batch`. Nothing has changed then.
   *
   * @example
   * ```ts
   * await cache.transaction([
   *   { namespace: 'trip', operation: 'check', key: 'budget', ifVersion: 3 },
   *   { namespace: 'trip', operation: 'set', key: 'hotel', value: 'Adler' },
   *   { namespace: 'todo', operation: 'delete', key: 'find a hotel' },
   * ]);
   * ```
   */
  transaction(operations: readonly TransactionOf<S>[], options?: OriginOptions): Promise<TransactionResult>;
  transaction(operations: readonly unknown[], options: OriginOptions = {}): Promise<TransactionResult> {
    return this.#parts.transaction(operations as readonly TransactionOperation[], options);
  }

  /**
   * Runs a function that reads and writes any namespaces, and applies its writes as one {@link transaction} if nothing that
   * it has read has changed meanwhile; otherwise runs it again. Resolves with what the function returns.
   *
   * @example
   * ```ts
   * await cache.transact(async (tx) => {
   *   const budget = Number((await tx.get('budget', 'trip')) ?? 0);
   *   tx.set('budget', budget - 90, 'trip');
   *   tx.set('paid', 90, 'hotel');
   * });
   * ```
   */
  transact<Result>(
    run: (tx: Transaction<S>) => MaybePromise<Result>,
    options: Omit<OriginOptions, 'operationId'> = {},
  ): Promise<Result> {
    const readEntry = (key: string, namespace: string) => this.#reader.entry(key, namespace);
    const { guard, transaction } = this.#parts;
    return guard(() => transact({ readEntry, transaction }, run, options));
  }

  /** Returns a handle with the methods of this cache for one namespace. Does not create the namespace. */
  namespace<const N extends NamespaceOf<S>>(name: N): NamespaceHandle<S, N, P>;
  namespace(parts: PartsArgument<S>): NamespaceHandle<S, NamespaceOf<S>, P>;
  namespace(name: NamespaceName): NamespaceHandle<S, NamespaceOf<S>, P> {
    return new NamespaceHandle(nameOf(name) as NamespaceOf<S>, this.#parts);
  }

  /**
   * Resolves with the last update of each key that has changed since a position, at most `limit` of them in order of
   * position, and with the position to go on from. Applying the pages one after the other brings a copy up to date,
   * however long ago it was made: a key that changed a thousand times is there once, and so is one that was removed.
   *
   * The first call for a namespace, a prefix or all namespaces reads their updates since that position once. It creates an
   * index in memory that commits keep up to date, so that further calls cost as much as their answer, whatever the size
   * of the log. The 64 indexes used last are kept, up to 1,000,000 changes in all.
   *
   * @throws {ContextCacheError} (as a rejection) `POSITION_UNAVAILABLE` if updates after `since` have been discarded: read
   *   the present entries, then go on from their position; `INVALID_OPTION`, also with a primary of your own, which keeps
   *   the values; `INVALID_NAME`.
   *
   * @example
   * ```ts
   * let { changes, next, more } = await cache.changes({ since: 0, namespace: 'trip' });
   * while (more) ({ changes, next, more } = await cache.changes({ since: next, namespace: 'trip' }));
   * ```
   */
  changes<const N extends string = NamespaceOf<S>>(
    options: Omit<ChangesOptions, 'namespace'> & {
      readonly namespace?: NamespaceArgument<S, N> | undefined;
    },
  ): Promise<Changes<UpdateOf<S, N>>>;
  changes(options: ChangesOptions): Promise<Changes<unknown>> {
    return this.#parts.changes(options);
  }

  provenance<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
    options?: ProvenanceOptions,
  ): Promise<Provenance | undefined>;
  provenance(key: string, namespace?: NamespaceName, options?: ProvenanceOptions): Promise<Provenance | undefined> {
    return this.#guarded(() => this.#parts.ask(commandOfProvenance(key, this.#named(namespace), options)));
  }

  impact(target: WriteTarget, options?: ImpactOptions): Promise<Impact> {
    return this.#guarded(() => this.#parts.ask(commandOfImpact(target, options)));
  }

  retract(position: number, options?: RetractOptions): Promise<RetractReport> {
    const { named, stamp } = this.#given;
    return this.#guarded(() => this.#parts.ask(commandOfRetract(position, options, named ?? stamp?.()?.agent)));
  }

  contradictions(options?: ContradictionsOptions): Promise<Contradictions> {
    return this.#guarded(() => this.#parts.ask(commandOfContradictions(options)));
  }

  briefing(options: BriefingOptions = {}): Promise<Briefing> {
    const { named, stamp } = this.#given;
    return this.#guarded(() => briefing((agent) => this.as({ agent }), options, named ?? stamp?.()?.agent));
  }

  /** Calls a function whose errors become a rejection that needs no handler. */
  #guarded<Result>(run: () => Promise<Result>): Promise<Result> {
    return this.#parts.guard(async () => run());
  }

  /**
   * Yields updates in order as they are committed: `for await (const update of cache.watch({ namespace: 'trip' }))`.
   * Starts with the call, not with the first step of the loop. Ends with the signal, `break`, or the cache.
   */
  watch<const N extends string = NamespaceOf<S>>(
    options?: Omit<WatchOptions, keyof WatchFilter> & FilterOf<S, N>,
  ): Watching<UpdateOf<S, N, WatchedUpdate>>;
  watch(options: WatchOptions = {}): Watching<unknown> {
    return this.#parts.watch(options);
  }

  /**
   * Calls `listener` with each update as it is committed. Returns a function that stops it. An error that `listener`
   * throws goes to `onError`.
   */
  subscribe<const N extends string = NamespaceOf<S>>(
    listener: (update: UpdateOf<S, N>) => void,
    filter?: FilterOf<S, N>,
  ): () => void;
  subscribe(listener: (update: Update) => void, filter: WatchFilter = {}): () => void {
    SUBSCRIBE_FILTER.check(filter);
    return this.#parts.subscribe(listener, filter);
  }

  /**
   * Yields the versions of an entry, newest first, as far back as the past is kept: each `set` and `touch`, and the
   * update that removed it.
   */
  history<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): AsyncGenerator<EntryVersion<ValueOf<S, N, K>>, void, undefined>;
  history(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): unknown {
    return this.#parts.history.versions(key, nameOf(namespace));
  }
}
