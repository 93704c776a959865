import type { ActorRefFrom } from 'xstate';
import type { SupervisorLogic } from '../actors/supervisor.ts';
import { type WatchedUpdate, type Watching, type WatchOptions, watchUpdates } from '../actors/watch.ts';
import type { WatchFilter } from '../actors/watch-hub.ts';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { InMemoryContextCache } from '../backends/in-memory-context-cache.ts';
import type {
  Acknowledgement,
  BackupSettings,
  BackupSettingsChange,
  BatchOperation,
  ContextCommand,
  RemoveOptions,
  WriteOptions,
} from '../core/command.ts';
import { untilAborted } from '../core/deadline.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import { type NamespaceName, nameOf, writtenName } from '../core/namespace-parts.ts';
import type { Entry } from '../core/namespace-state.ts';
import type {
  AnyNamespaces,
  BatchOf,
  DefaultNamespace,
  FilterOf,
  KeyArgument,
  KeyOf,
  ManyArgument,
  NamespaceArgument,
  NamespaceOf,
  NamespaceTypes,
  PartsArgument,
  UpdateOf,
  ValueArgument,
  ValueOf,
} from '../core/namespace-types.ts';
import type { NamespaceRangeOptions, RangeOptions } from '../core/range.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { AgentOption } from '../core/write-options.ts';
import { durationOf, inMilliseconds } from '../engine/durations.ts';
import { Engine, type ShutdownReport } from '../engine/engine.ts';
import type { CacheHealth } from '../engine/health.ts';
import { Inspection } from '../engine/inspection.ts';
import { createInternals, INTERNALS, type Internals, internalsOf } from '../engine/internals.ts';
import type { LogRange } from '../engine/log-range.ts';
import { CACHE_OPTIONS, OPEN_OPTIONS } from '../engine/option-names.ts';
import type { CacheOptions, EngineOptions, OpenOptions } from '../engine/options.ts';
import { Reader } from '../engine/reader.ts';
import { Settings } from '../engine/settings.ts';
import { memoryStorage, type Storage } from '../engine/storage.ts';
import { type UpdateResult, Writer } from '../engine/writer.ts';
import type { BackupStatus } from '../followers/backup/backup-sink.ts';
import type { SnapshotInfo } from '../followers/backup/snapshot-format.ts';
import type { Difference } from '../past/difference.ts';
import type { DifferenceOptions } from '../past/difference-options.ts';
import { Digests } from '../past/digests.ts';
import { type BisectOptions, type Culprit, type EntryVersion, History, type PositionOrDate } from '../past/history.ts';
import { type MergeOptions, type MergeReport, merge } from '../past/merge.ts';
import type { CacheView } from '../past/view.ts';
import type { CompactReport } from '../storage/retention.ts';
import { Verifier } from '../verify/verify.ts';
import type { VerifyOptions, VerifyReport } from '../verify/verify-report.ts';
import { answer, type ControlDeps } from './control.ts';
import { type ForkOptions, makeBranch } from './fork.ts';
import { NamespaceHandle } from './namespace-handle.ts';
import { ASK_OPTIONS, BACKUP_NOW_OPTIONS, SHUTDOWN_OPTIONS, SUBSCRIBE_FILTER, SYNCED_OPTIONS } from './option-names.ts';
import { startOwnInspector } from './start-inspector.ts';
import { storageOf } from './storage-of.ts';
import type { Answer, AnswerTo, CompactionOptions, Iteration, WaitOptions } from './types.ts';

/**
 * Shared memory for agents: keys and values by namespace. Every change is an update in a log, and mirror, broadcast,
 * backup and watchers follow that log.
 *
 * `S` types the namespaces, `P` is the primary backend. Reads answer at once unless the primary is asynchronous.
 * Writes are visible at once and their promises need not be awaited: a failure that no caller handles is reported to
 * `onError` and counted in `health()`.
 *
 * @example
 * ```ts
 * const cache = new AgentContextCache();
 * await cache.set('plan', { steps: ['search', 'book'] }, 'trip', { agent: 'planner', ttl: '1h' });
 * cache.get('plan', 'trip'); // { steps: ['search', 'book'] }
 * ```
 */
export class AgentContextCache<
  S extends NamespaceTypes<S> = AnyNamespaces,
  P extends BaseContextCache = InMemoryContextCache,
> {
  /** Reads for tools that show a cache. */
  readonly inspection: Inspection;
  readonly #engine: Engine;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #history: History;
  readonly #digests: Digests;
  readonly #settings: Settings;
  readonly #verifier: Verifier;
  readonly #control: ControlDeps;
  readonly #internals: Internals;
  readonly #supervisor: AgentContextCache['supervisor'];
  #shutdown: Promise<ShutdownReport> | undefined;

  /** Creates a cache in memory, ready at once. {@link AgentContextCache.open} opens one on a durable log. */
  constructor(options?: CacheOptions<P, S>);
  /** @internal */
  constructor(options: EngineOptions, storage: Storage, awaitCommit: boolean);
  constructor(given: CacheOptions<P, S> | EngineOptions = {}, opened?: Storage, awaitCommit = false) {
    const options = opened === undefined ? inMilliseconds(CACHE_OPTIONS.checked(given)) : (given as EngineOptions);
    const storage = opened ?? memoryStorage(options);
    const engine = new Engine(options, storage, (command) => this.ask(command));
    const { registry, primary, clock, supervisor, admission, log, report } = engine;
    const reader = new Reader(registry, primary, clock, (namespace) => this.#hydrate(namespace));
    const readEntry = (key: string, namespace: string) => reader.entry(key, namespace);
    const readFromPrimary = primary && ((key: string, namespace: string) => reader.get(key, namespace));
    const writer = new Writer({
      supervisor,
      admission,
      log,
      clock,
      awaitCommit,
      readEntry,
      readFromPrimary,
      report,
      conflicts: engine.conflicts,
    });
    this.#engine = engine;
    this.#reader = reader;
    this.#writer = writer;
    this.#history = new History(storage.past, log, clock);
    this.#digests = new Digests(registry, log, clock);
    this.#settings = new Settings(engine);
    this.#verifier = new Verifier(engine, storage, options.backup?.transforms);
    this.#control = {
      ...{ parts: engine, reader, writer, settings: this.#settings, verifier: this.#verifier },
      health: () => this.health(),
    };
    this.#internals = createInternals({ past: storage.past, parts: engine, options, writer });
    this.#supervisor = {
      getSnapshot: () => supervisor.actor.getSnapshot(),
      subscribe: supervisor.actor.subscribe.bind(supervisor.actor),
      send: (command) => supervisor.accept(command),
    };
    this.inspection = new Inspection(engine, storage, options);
    if (options.inspector) startOwnInspector(this as unknown as AgentContextCache, options.inspector, report);
  }

  /**
   * Opens a cache on the durable log in `dataDir`, or one that starts from a snapshot (`restoreFrom`); without either, one
   * in memory.
   *
   * @throws {ContextCacheError} `DIRECTORY_LOCKED`, `FORMAT_UNSUPPORTED`, `LOG_CORRUPT`, `LOG_UNAVAILABLE`; when
   *   restoring `NOT_EMPTY`, `NOT_FOUND`, `SNAPSHOT_CORRUPT`, `UNREACHABLE`, and the errors of `replay` if the log of
   *   a data directory is damaged.
   */
  static open<S extends NamespaceTypes<S> = AnyNamespaces, P extends BaseContextCache = InMemoryContextCache>(
    options?: OpenOptions<P, S>,
  ): Promise<AgentContextCache<S, P>>;
  static async open(given: OpenOptions = {}): Promise<unknown> {
    const options = inMilliseconds(OPEN_OPTIONS.checked(given));
    return AgentContextCache.over(options, await storageOf(options));
  }

  /** @internal Creates a cache on this storage, which the cache closes. */
  static async over<S extends NamespaceTypes<S>, P extends BaseContextCache = InMemoryContextCache>(
    options: EngineOptions,
    storage: Storage,
  ): Promise<AgentContextCache<S, P>> {
    try {
      return new AgentContextCache<S, P>(options, storage, storage.log.durable && options.durability !== 'memory');
    } catch (error) {
      await storage.log.close();
      throw error;
    }
  }

  /** @internal */
  get [INTERNALS](): Internals {
    return this.#internals;
  }

  /**
   * The supervisor actor. `send` takes any {@link ContextCommand} and returns at once; a failure reaches `onError`.
   * Use {@link ask} to get an answer.
   */
  get supervisor(): Pick<ActorRefFrom<SupervisorLogic>, 'getSnapshot' | 'subscribe'> & {
    send(command: ContextCommand): void;
  } {
    return this.#supervisor;
  }

  /** Position of the last update. */
  get position(): number {
    return this.#engine.log.head;
  }

  /** Returns the value, deeply frozen; `undefined` if the key is missing or has expired. */
  get<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Answer<P, ValueOf<S, N, K> | undefined>;
  get(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): unknown {
    return this.#reader.get(key, nameOf(namespace));
  }

  /** Returns the values of several keys in the order given, `undefined` for each that is missing. */
  getMany<const K extends string, const N extends string = DefaultNamespace>(
    keys: readonly KeyArgument<S, N, K>[],
    namespace?: NamespaceArgument<S, N>,
  ): Answer<P, (ValueOf<S, N, K> | undefined)[]>;
  getMany(keys: readonly string[], namespace: NamespaceName = DEFAULT_NAMESPACE): unknown {
    return this.#reader.getMany(keys, nameOf(namespace));
  }

  /** Returns whether the key has a value. */
  has<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Answer<P, boolean>;
  has(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): unknown {
    return this.#reader.has(key, nameOf(namespace));
  }

  /** Returns the value with its version, instants and agent. */
  entry<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Answer<P, Entry<ValueOf<S, N, K>> | undefined>;
  entry(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): unknown {
    return this.#reader.entry(key, nameOf(namespace));
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
    const name = nameOf(namespace);
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
   * @example
   * ```ts
   * for (const key of cache.keys('trip', { prefix: 'day:', limit: 10 })) console.log(key);
   * ```
   */
  keys<const N extends string = DefaultNamespace>(
    namespace?: NamespaceArgument<S, N>,
    options?: RangeOptions,
  ): Iteration<P, KeyOf<S, N>>;
  keys(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RangeOptions): unknown {
    return this.#reader.keysInOrder(nameOf(namespace), options);
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
    return this.#reader.keys(nameOf(namespace), options);
  }

  /**
   * Returns `default` and every namespace that was written to and not dropped, sorted by code point. With options,
   * returns a part of them from an index that the first such call creates.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`.
   *
   * @example
   * ```ts
   * cache.listNamespaces({ prefix: ['store', 'user'], limit: 10 });
   * ```
   */
  listNamespaces(options?: NamespaceRangeOptions): Answer<P, NamespaceOf<S>[]> {
    return this.#reader.namespaces(options) as Answer<P, NamespaceOf<S>[]>;
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
  set(
    key: string,
    value: unknown,
    namespace: NamespaceName = DEFAULT_NAMESPACE,
    options?: WriteOptions,
  ): Promise<Acknowledgement> {
    return this.#writer.set(key, value, writtenName(namespace), options);
  }

  /** Stores several values of one namespace, all or none. */
  setMany<const N extends string = DefaultNamespace, V = unknown>(
    values: ManyArgument<S, N, V>,
    namespace?: NamespaceArgument<S, N>,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<Acknowledgement>;
  setMany(
    values: object,
    namespace: NamespaceName = DEFAULT_NAMESPACE,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<Acknowledgement> {
    return this.#writer.setMany(values, writtenName(namespace), options);
  }

  /** Removes a key. Writes no update if the key is missing. */
  delete<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
    options?: RemoveOptions,
  ): Promise<Acknowledgement>;
  delete(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RemoveOptions): Promise<Acknowledgement> {
    return this.#writer.delete(key, writtenName(namespace), options);
  }

  /** Sets when an entry expires (`ttl` or `expiresAt`) and keeps its value. */
  touch<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace: NamespaceArgument<S, N> | undefined,
    options: WriteOptions,
  ): Promise<Acknowledgement>;
  touch(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE, options: WriteOptions): Promise<Acknowledgement> {
    return this.#writer.touch(key, writtenName(namespace), options);
  }

  /** Applies several operations to one namespace in order, all or none. Each operation sees the effects of those before it. */
  batch<const N extends string = DefaultNamespace>(
    operations: readonly BatchOf<S, N>[],
    namespace?: NamespaceArgument<S, N>,
    options?: AgentOption,
  ): Promise<Acknowledgement>;
  batch(
    operations: readonly BatchOperation[],
    namespace: NamespaceName = DEFAULT_NAMESPACE,
    options?: AgentOption,
  ): Promise<Acknowledgement> {
    return this.#writer.batch(operations, writtenName(namespace), options);
  }

  /**
   * Reads, changes and writes a value atomically. `change` gets the value (`undefined` if the key is missing) and
   * returns the new one, or `undefined` to leave it. It is called again if another writer changed the entry meanwhile.
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
    namespace: NamespaceName = DEFAULT_NAMESPACE,
    options?: WriteOptions,
  ): Promise<unknown> {
    return this.#writer.update(
      key,
      change as (value: JsonValue | undefined) => unknown,
      writtenName(namespace),
      options,
    );
  }

  /** Returns the value; if the key is missing, stores the result of `make` first. Concurrent callers share one `make`. */
  getOrSet<const K extends string, const N extends string = DefaultNamespace, V = unknown>(
    key: KeyArgument<S, N, K>,
    make: () => MaybePromise<ValueArgument<S, N, K, V>>,
    namespace?: NamespaceArgument<S, N>,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<ValueOf<S, N, K>>;
  getOrSet(
    key: string,
    make: () => unknown,
    namespace: NamespaceName = DEFAULT_NAMESPACE,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<unknown> {
    return this.#writer.getOrSet(key, make, writtenName(namespace), options);
  }

  /** Removes every key of a namespace. The namespace stays listed. */
  clearNamespace(namespace?: NamespaceOf<S> | PartsArgument<S>, options?: AgentOption): Promise<Acknowledgement>;
  clearNamespace(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: AgentOption): Promise<Acknowledgement> {
    return this.#writer.clear(writtenName(namespace), options);
  }

  /** Removes a namespace with its keys. The next write to it restarts at version 1. */
  dropNamespace(
    namespace: NamespaceOf<S> | PartsArgument<S> | undefined,
    options?: AgentOption,
  ): Promise<Acknowledgement>;
  dropNamespace(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: AgentOption): Promise<Acknowledgement> {
    return this.#writer.drop(writtenName(namespace), options);
  }

  /** Returns a handle with the methods of this cache for one namespace. Does not create the namespace. */
  namespace<const N extends NamespaceOf<S>>(name: N): NamespaceHandle<S, N, P>;
  namespace(parts: PartsArgument<S>): NamespaceHandle<S, NamespaceOf<S>, P>;
  namespace(name: NamespaceName): NamespaceHandle<S, NamespaceOf<S>, P> {
    return new NamespaceHandle(nameOf(name) as NamespaceOf<S>, {
      ...{ reader: this.#reader, writer: this.#writer, history: this.#history },
      watch: (options) => watchUpdates(this.#engine, options),
      subscribe: (listener, filter) => this.#engine.watchers.add(filter, listener),
    });
  }

  /**
   * Yields updates in order as they are committed: `for await (const update of cache.watch({ namespace: 'trip' }))`.
   * Starts with the call, not with the first step of the loop. Ends with the signal, `break`, or the cache.
   */
  watch<const N extends string = NamespaceOf<S>>(
    options?: Omit<WatchOptions, 'namespace' | 'keys'> & FilterOf<S, N>,
  ): Watching<UpdateOf<S, N, WatchedUpdate>>;
  watch(options: WatchOptions = {}): Watching<unknown> {
    return watchUpdates(this.#engine, options);
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
    return this.#engine.watchers.add(filter, listener);
  }

  /**
   * Yields committed updates, oldest first, from position `from` (default: the oldest kept) to `to` (default: the last).
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` if the log no longer holds `from`.
   */
  readLog(options: LogRange = {}): AsyncGenerator<Update> {
    return this.#engine.readLog(options);
  }

  /**
   * Executes a command and resolves with its answer; see {@link ContextCommand}. Aborting `signal` ends the wait, while
   * the command may still take effect.
   */
  ask<C extends ContextCommand>(command: C, options: { readonly signal?: AbortSignal } = {}): Promise<AnswerTo<C>> {
    const run = async () => {
      ASK_OPTIONS.check(options);
      options.signal?.throwIfAborted();
      return untilAborted(answer(this.#control, command) as Promise<AnswerTo<C>>, options.signal);
    };
    return this.#writer.guard(run, {
      source: 'command',
      command: typeof command?.type === 'string' ? command.type : 'unknown',
    });
  }

  /**
   * Returns a view of all namespaces at a position or an instant. An instant selects the last update before the first
   * one that was asked for later. Position 0 is the empty cache. A view costs nothing until it is read.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` if the position is no longer kept (in memory: once the log has
   *   released its oldest updates) or not yet written; `INVALID_OPTION`, `CLOSED`.
   */
  at(position: number | Date): CacheView<S> {
    return this.#history.at(position) as unknown as CacheView<S>;
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
    return this.#history.versions(key, nameOf(namespace));
  }

  /**
   * Returns the entries that were added, changed and removed from `a` to `b`. Each is a position, an instant, a view, or
   * a cache in its present state: `parent.diff(parent, branch)`. Rejects with the errors of {@link at}.
   */
  diff(a: PositionOrDate, b: PositionOrDate, options: DifferenceOptions<NamespaceOf<S>> = {}): Promise<Difference> {
    return this.#history.diff(a, b, options);
  }

  /**
   * Finds the first position at which `holds` is false, and the update that made it false. Halves the range each time,
   * so it calls `holds` about log₂ of the number of positions times. If `holds` changes several times, the result is one
   * of the positions at which it becomes false. Resolves with `undefined` if `holds` is true at `to`, and with `from` and
   * no update if `holds` is false at `from` already. Rejects with the errors of {@link at} and those that `holds` throws.
   */
  bisect(
    holds: (view: CacheView<S>) => MaybePromise<boolean>,
    options: BisectOptions = {},
  ): Promise<Culprit | undefined> {
    return this.#history.bisect((view) => holds(view as unknown as CacheView<S>), options);
  }

  /**
   * Creates a branch: a writable cache that starts with the state of this one, now or at a position, and never changes
   * it. Positions of the branch continue from there. Without a data directory forking takes no time, however large this
   * cache is: the branch shares what it does not change, so shut it down before this one.
   *
   * @throws {ContextCacheError} (as a rejection) `POSITION_UNAVAILABLE`, `INVALID_OPTION`, `CLOSED`; with a data
   *   directory `NOT_EMPTY`, `DIRECTORY_LOCKED`, `LOG_UNAVAILABLE`, and the signal's reason.
   *
   * @example
   * ```ts
   * await using branch = await cache.fork();
   * await branch.set('plan', { steps: ['train'] }, 'trip', { agent: 'thrifty' });
   * await cache.diff(cache, branch);
   * await cache.merge(branch, { onConflict: 'theirs' });
   * ```
   */
  async fork(options: ForkOptions = {}): Promise<AgentContextCache<S>> {
    const branch = await makeBranch(this.#internals, this.#history, options);
    return AgentContextCache.over<S, InMemoryContextCache>(branch.options, branch.storage);
  }

  /**
   * Applies the changes of a branch to this cache as ordinary updates: the keys that differ from the branch's start, or
   * from its last merge, unless they are equal here already. A key that changed here as well is a conflict. All changes
   * are applied in one turn, so that no other writer of this process interleaves.
   *
   * `branch` may be any cache that shares a past with this one: a branch, a branch of a branch, a sibling, the parent.
   *
   * @throws {MergeConflictError} (as a rejection) with all `conflicts` if `onConflict` is `fail`; nothing has changed.
   * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION` for a cache that shares no past; `CLOSED`;
   *   `POSITION_UNAVAILABLE` if neither cache keeps the state they shared any more; `NAMESPACE_UNAVAILABLE`,
   *   `LOG_UNAVAILABLE`, and the signal's reason, before anything has changed; the errors of a write: `INVALID_VALUE`,
   *   `SCHEMA_MISMATCH`, `OUTCOME_UNKNOWN`; `OVERLOADED` if the log cannot take all of it: merge again for the rest.
   */
  async merge(branch: AgentContextCache<S>, options: MergeOptions = {}): Promise<MergeReport> {
    return merge(this.#internals, internalsOf(branch), options);
  }

  /**
   * Returns the digest of a namespace, or of all namespaces at one position: 64 hexadecimal digits. Two caches with
   * equal digests hold equal state: the same values (with properties in the same order), versions, instants, agents and
   * expiries under the same keys. Positions do not count. An expired entry counts until its `expire` update is written,
   * as in a view. Values that a primary backend holds do not count.
   *
   * In memory the first call hashes every entry, with pauses for other work. Later calls hash only the keys that have
   * changed, and keep the earlier entry of each until then. In a data directory the index keeps the digests up to
   * date. Rejects with `INVALID_NAME`, `CLOSED`, and the errors of reading a directory.
   *
   * @example
   * ```ts
   * if ((await cache.digest('trip')) !== (await replayed.digest('trip'))) console.error('not the same');
   * ```
   */
  async digest(namespace?: NamespaceOf<S> | PartsArgument<S>): Promise<string> {
    return namespace === undefined ? this.#digests.all() : this.#digests.of(nameOf(namespace));
  }

  /**
   * Checks that the stored data equals what was written. Writers may continue meanwhile. With a data directory it checks
   * every frame of base and log, folds them, and compares the index, the namespaces in memory and every copy in the past
   * with the result; and it checks the snapshots in the directory. In memory it folds the log again while the log is
   * complete. With `against` it also compares a mirror or a backup, key by key, at the position that the mirror or backup
   * has reached.
   *
   * Changes nothing, except that `repair` rebuilds an index that is wrong or missing if base and log are right. Holds up
   * to 512 MiB of state in memory besides the cache, and reads base and log again for each further 512 MiB.
   *
   * @throws {ContextCacheError} (as a rejection) if the check is impossible: `LOG_UNAVAILABLE`, `CLOSED`; for `against`
   *   `NOT_FOUND`, `UNREACHABLE`, `TIMED_OUT`, `INVALID_OPTION`, `POSITION_UNAVAILABLE`.
   *
   * @example
   * ```ts
   * const report = await cache.verify({ against: 'redis://127.0.0.1:6379' });
   * for (const { message, where } of report.problems) console.error(message, where);
   * ```
   */
  verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    return this.#verifier.verify(options);
  }

  /** Replaces the topics that updates are broadcast to. */
  setTopicsList(topics: readonly string[]): Promise<void> {
    return this.#settings.setTopicsList(topics);
  }

  /** Returns the topics that updates are broadcast to. */
  getTopicsList(): string[] {
    return this.#settings.getTopicsList();
  }

  /** Adds a topic. It gets the updates after this call. */
  addTopic(topic: string): Promise<void> {
    return this.#settings.addTopic(topic);
  }

  /** Removes a topic. */
  removeTopic(topic: string): Promise<void> {
    return this.#settings.removeTopic(topic);
  }

  /** Starts taking snapshots by the backup settings. */
  enableBackup(settings?: BackupSettingsChange): Promise<void> {
    return this.#settings.enableBackup(settings);
  }

  /** Stops taking snapshots. Those that are stored stay. */
  disableBackup(): Promise<void> {
    return this.#settings.disableBackup();
  }

  /** Returns whether snapshots are taken by the backup settings. */
  isBackupEnabled(): boolean {
    return this.#settings.isBackupEnabled();
  }

  /** Changes the settings that are given and keeps the others. */
  setBackupSettings(settings: BackupSettingsChange): Promise<void> {
    return this.#settings.setBackupSettings(settings);
  }

  /** Returns the backup settings in force. */
  getBackupSettings(): BackupSettings {
    return this.#settings.getBackupSettings();
  }

  /** Returns when the last snapshot was taken, whether it failed, and when the next is due. */
  getBackupStatus(): BackupStatus {
    return this.#settings.getBackupStatus();
  }

  /** Takes a snapshot now, even if backup is disabled. */
  async backup(options: { readonly signal?: AbortSignal } = {}): Promise<SnapshotInfo> {
    BACKUP_NOW_OPTIONS.check(options);
    return this.#settings.backup.backupNow(options);
  }

  /**
   * Discards updates and views of the past beyond the bounds given here or, if none are, those of the `log` option, and
   * returns their space to the disk. Keeps the updates that a follower still needs or a view in use shows; the report
   * names the follower or view.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` (also if no bound is given anywhere), `NOT_FOUND` for a name in `forget`
   *   that has no checkpoint, `LOG_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `LOG_CORRUPT`, `TIMED_OUT`, `CLOSED`.
   * @example
   * ```ts
   * const { first, removed, heldBy } = await cache.compact({ keepUpdates: 100_000 });
   * ```
   */
  async compact(options?: CompactionOptions): Promise<CompactReport> {
    const keepMs = durationOf('keepMs', options?.keepMs);
    return this.#engine.retention.compact(options && { ...options, keepMs });
  }

  /** Resolves once everything written so far is committed. */
  flush(): Promise<void> {
    return this.#engine.log.flush();
  }

  /**
   * Resolves once every follower has delivered everything written so far.
   *
   * @throws {ContextCacheError} `TIMED_OUT` after `timeoutMs` (default 30,000 ms); or the signal's reason.
   */
  async synced(options: WaitOptions = {}): Promise<void> {
    const { timeoutMs, signal } = SYNCED_OPTIONS.checked(options);
    const { clock, followers } = this.#engine;
    await this.flush();
    await followers.caughtUpWithin(durationOf('timeoutMs', timeoutMs) ?? 30_000, clock, signal);
  }

  /** Returns the condition of the log, the namespaces and every follower. */
  health(): CacheHealth {
    return this.#engine.health(this.#shutdown !== undefined);
  }

  /**
   * Refuses further commands, waits at most `timeoutMs` (default 5,000 ms) for running commands and for the
   * followers to deliver, then releases everything. Resolves with what could not be finished. Later calls return the
   * same promise.
   */
  shutdown(options: Pick<WaitOptions, 'timeoutMs'> = {}): Promise<ShutdownReport> {
    try {
      const { timeoutMs } = SHUTDOWN_OPTIONS.checked(options);
      const durationMs = durationOf('timeoutMs', timeoutMs) ?? 5_000;
      this.#shutdown ??= this.#end(durationMs);
      return this.#shutdown;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /**
   * Loads a namespace from the primary with a command that changes nothing. A synchronous primary has answered when this
   * returns.
   */
  #hydrate(namespace: string): MaybePromise<unknown> {
    const { admission, clock, primary } = this.#engine;
    const hydrated = this.#writer.execute(admission.batch(clock.now(), namespace, [], undefined));
    if (!primary?.synchronous) return hydrated;
    // The read itself reports that the primary cannot be read.
    hydrated.catch(() => {});
    return undefined;
  }

  async #end(timeoutMs: number): Promise<ShutdownReport> {
    this.#writer.close();
    const ended = this.#engine.shutdown(timeoutMs, () => this.#writer.idle());
    const [report] = await Promise.all([ended, this.inspection.shutDown()]);
    this.#writer.giveUp();
    return report;
  }
}
