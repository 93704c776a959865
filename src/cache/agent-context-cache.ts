import type { ActorRefFrom } from 'xstate';
import type { SupervisorLogic } from '../actors/supervisor.ts';
import { type WatchedUpdate, type WatchOptions, watchUpdates } from '../actors/watch.ts';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { InMemoryContextCache } from '../backends/in-memory-context-cache.ts';
import type { Acknowledgement, ContextCommand, RemoveOptions, WriteOptions } from '../core/command.ts';
import { untilAborted, withDeadline } from '../core/deadline.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import { Engine, type LogRange, type ShutdownReport } from '../engine/engine.ts';
import type { CacheHealth } from '../engine/health.ts';
import { Inspection } from '../engine/inspection.ts';
import { type Innards, reveal } from '../engine/internals.ts';
import type { CacheOptions, OpenOptions } from '../engine/options.ts';
import { Reader } from '../engine/reader.ts';
import { Settings } from '../engine/settings.ts';
import { memoryStorage, type Storage } from '../engine/storage.ts';
import { Writer } from '../engine/writer.ts';
import type { Inspectable } from '../inspector/inspectable.ts';
import { Digests } from '../past/digests.ts';
import { History } from '../past/history.ts';
import { Verifier } from '../verify/verify.ts';
import { Administration } from './administration.ts';
import { answer, type ControlDeps } from './control.ts';
import { type ForkOptions, makeBranch } from './fork.ts';
import { NamespaceHandle } from './namespace-handle.ts';
import { startOwnInspector } from './start-inspector.ts';
import { storageOf } from './storage-of.ts';
import type {
  Answer,
  AnswerTo,
  AnyNamespaces,
  BatchOf,
  KeyOf,
  NamespaceOf,
  NamespaceTypes,
  ValueOf,
  WaitOptions,
} from './types.ts';

type DefaultNamespace = typeof DEFAULT_NAMESPACE;

/**
 * Shared memory for agents: keys and values by namespace, read at once, every change an update in a log that mirror,
 * broadcast, backup and watchers follow.
 *
 * `S` types the namespaces, `P` is the primary backend. Reads answer at once unless the primary is asynchronous.
 * Writes are visible at once, and their promises need not be awaited: a failure also reaches `onError` and `health()`.
 *
 * @example
 * ```ts
 * const cache = new AgentContextCache();
 * await cache.set('plan', { steps: ['search', 'book'] }, 'trip', { agent: 'planner', ttl: '1h' });
 * cache.get('plan', 'trip'); // { steps: ['search', 'book'] }
 * ```
 */
export class AgentContextCache<
    S extends NamespaceTypes = AnyNamespaces,
    P extends BaseContextCache = InMemoryContextCache,
  >
  extends Administration<S>
  implements Inspectable
{
  readonly #parts: Engine;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #control: ControlDeps;
  readonly #supervisor: AgentContextCache['supervisor'];
  readonly #history: History;
  readonly #inside: Innards;
  #shutdown: Promise<ShutdownReport> | undefined;

  /** A cache in memory, ready at once. For one on a durable log see {@link AgentContextCache.open}. */
  constructor(options?: CacheOptions<P>);
  /** @internal */
  constructor(options: CacheOptions<P>, storage: Storage, awaitCommit: boolean);
  constructor(options: CacheOptions<P> = {}, storage: Storage = memoryStorage(options), awaitCommit = false) {
    let ask: AgentContextCache['ask'];
    const parts = new Engine(options, storage, (command) => ask(command));
    const settings = new Settings(parts);
    const history = new History(storage.past, storage.log, parts.clock);
    const digests = new Digests(parts.registry, parts.log, parts.clock);
    const verifier = new Verifier(parts, storage, options.backup?.transforms);
    const inspection = new Inspection(parts, storage, options);
    super(history, settings, { digests, verifier, inspection, retention: parts.retention });
    ask = (command) => this.ask(command);
    const { registry, primary, clock, supervisor, admission, log, report } = parts;
    const reader = new Reader(registry, primary, clock, (namespace) => this.#hydrate(namespace));
    this.#supervisor = {
      getSnapshot: () => supervisor.actor.getSnapshot(),
      subscribe: supervisor.actor.subscribe.bind(supervisor.actor),
      send: (command) => supervisor.accept(command),
    };
    const readEntry = (key: string, namespace: string) => reader.entry(key, namespace);
    const readFromPrimary = primary && ((key: string, namespace: string) => reader.get(key, namespace));
    const writer = new Writer({ supervisor, admission, log, clock, awaitCommit, readEntry, readFromPrimary, report });
    this.#parts = parts;
    this.#reader = reader;
    this.#writer = writer;
    this.#history = history;
    this.#inside = { past: storage.past, parts, options, writer, merged: new Map() };
    reveal(this, this.#inside);
    this.#control = { parts, reader, writer, settings, verifier, health: () => this.health() };
    if (options.inspector) startOwnInspector(this, options.inspector, report);
  }

  /**
   * A cache on a durable log in `dataDir`, as it was left there; or one that begins with a snapshot (`restoreFrom`).
   *
   * @throws {ContextCacheError} `DIRECTORY_LOCKED`, `FORMAT_UNSUPPORTED`, `LOG_CORRUPT`, `LOG_UNAVAILABLE`; when
   *   restoring `NOT_EMPTY`, `NOT_FOUND`, `SNAPSHOT_CORRUPT`, `UNREACHABLE`, and what `replay` throws where the log of
   *   a data directory is not whole.
   */
  static async open<S extends NamespaceTypes = AnyNamespaces, P extends BaseContextCache = InMemoryContextCache>(
    options: OpenOptions<P>,
  ): Promise<AgentContextCache<S, P>> {
    return AgentContextCache.over<S, P>(options, await storageOf(options));
  }

  /** @internal A cache on this storage, which it closes. */
  static async over<S extends NamespaceTypes, P extends BaseContextCache = InMemoryContextCache>(
    options: OpenOptions<P>,
    storage: Storage,
  ): Promise<AgentContextCache<S, P>> {
    try {
      return new AgentContextCache<S, P>(options, storage, storage.log.durable && options.durability !== 'memory');
    } catch (error) {
      await storage.log.close();
      throw error;
    }
  }

  /**
   * The supervisor actor. `send` takes any {@link ContextCommand}; nobody waits for its end, so a failure reaches
   * `onError`. For an answer use {@link ask}.
   */
  get supervisor(): Pick<ActorRefFrom<SupervisorLogic>, 'getSnapshot' | 'subscribe'> & {
    send(command: ContextCommand): void;
  } {
    return this.#supervisor;
  }

  /** Position of the last update. */
  get position(): number {
    return this.#parts.log.head;
  }

  /** The value; `undefined` where there is none or it has expired. Deeply frozen. */
  get<N extends NamespaceOf<S>, K extends KeyOf<S, N>>(key: K, namespace: N): Answer<P, ValueOf<S, N, K> | undefined>;
  get<K extends KeyOf<S, DefaultNamespace>>(key: K): Answer<P, ValueOf<S, DefaultNamespace, K> | undefined>;
  get(key: string, namespace: string = DEFAULT_NAMESPACE): unknown {
    return this.#reader.get(key, namespace);
  }

  /** Values of several keys, in their order; `undefined` where there is none. */
  getMany<N extends NamespaceOf<S> = DefaultNamespace>(
    keys: readonly KeyOf<S, N>[],
    namespace: N = DEFAULT_NAMESPACE as N,
  ): Answer<P, (ValueOf<S, N, KeyOf<S, N>> | undefined)[]> {
    return this.#reader.getMany(keys, namespace) as Answer<P, (ValueOf<S, N, KeyOf<S, N>> | undefined)[]>;
  }

  /** Whether there is a value. */
  has<N extends NamespaceOf<S> = DefaultNamespace>(
    key: KeyOf<S, N>,
    namespace: N = DEFAULT_NAMESPACE as N,
  ): Answer<P, boolean> {
    return this.#reader.has(key, namespace) as Answer<P, boolean>;
  }

  /** The value with its version, instants and agent. */
  entry<N extends NamespaceOf<S> = DefaultNamespace, K extends KeyOf<S, N> = KeyOf<S, N>>(
    key: K,
    namespace: N = DEFAULT_NAMESPACE as N,
  ): Answer<P, Entry<ValueOf<S, N, K>> | undefined> {
    return this.#reader.entry(key, namespace) as Answer<P, Entry<ValueOf<S, N, K>> | undefined>;
  }

  /** Every entry of a namespace as it is at this moment, in no particular order. */
  entries<N extends NamespaceOf<S> = DefaultNamespace>(
    namespace: N = DEFAULT_NAMESPACE as N,
  ): Answer<P, Entry<ValueOf<S, N, KeyOf<S, N>>>[]> {
    return this.#reader.entries(namespace) as Answer<P, Entry<ValueOf<S, N, KeyOf<S, N>>>[]>;
  }

  /** Keys of a namespace, in no particular order; empty where there is no such namespace. */
  listKeys<N extends NamespaceOf<S> = DefaultNamespace>(
    namespace: N = DEFAULT_NAMESPACE as N,
  ): Answer<P, KeyOf<S, N>[]> {
    return this.#reader.keys(namespace) as Answer<P, KeyOf<S, N>[]>;
  }

  /** Namespaces there are, sorted by code point: `default`, and those that were written to and not dropped. */
  listNamespaces(): Answer<P, NamespaceOf<S>[]> {
    return this.#reader.namespaces() as Answer<P, NamespaceOf<S>[]>;
  }

  /**
   * Stores a value. The cache keeps a frozen copy: change yours as you like.
   *
   * @throws {ContextCacheError} (as a rejection) `INVALID_NAME`, `INVALID_VALUE`, `INVALID_COMMAND`,
   *   `SCHEMA_MISMATCH`, `VERSION_CONFLICT`, `BACKEND_FAILED`, `LOG_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `OVERLOADED`,
   *   `NAMESPACE_UNAVAILABLE`, `CLOSED`.
   */
  set<N extends NamespaceOf<S>, K extends KeyOf<S, N>>(
    key: K,
    value: ValueOf<S, N, K>,
    namespace: N,
    options?: WriteOptions,
  ): Promise<Acknowledgement>;
  set<K extends KeyOf<S, DefaultNamespace>>(key: K, value: ValueOf<S, DefaultNamespace, K>): Promise<Acknowledgement>;
  set(
    key: string,
    value: unknown,
    namespace: string = DEFAULT_NAMESPACE,
    options?: WriteOptions,
  ): Promise<Acknowledgement> {
    return this.#writer.set(key, value, namespace, options);
  }

  /** Stores several values of one namespace, all or none. */
  setMany<N extends NamespaceOf<S> = DefaultNamespace>(
    values: Partial<S[N]> | Iterable<readonly [KeyOf<S, N>, ValueOf<S, N, KeyOf<S, N>>]>,
    namespace: N = DEFAULT_NAMESPACE as N,
    { agent, ...options }: Omit<WriteOptions, 'ifVersion'> = {},
  ): Promise<Acknowledgement> {
    return this.#writer.write((admission, at) => {
      const pairs: Iterable<readonly [string, unknown]> = Symbol.iterator in values ? values : Object.entries(values);
      const operations = Array.from(pairs, ([key, value]) => ({ operation: 'set' as const, key, value, ...options }));
      return admission.batch(at, namespace, operations, agent);
    });
  }

  /** Removes a key; an update only where there was one. */
  delete<N extends NamespaceOf<S> = DefaultNamespace>(
    key: KeyOf<S, N>,
    namespace: N = DEFAULT_NAMESPACE as N,
    options?: RemoveOptions,
  ): Promise<Acknowledgement> {
    return this.#writer.write((admission, at) => admission.delete(at, namespace, key, options));
  }

  /** Sets when an entry expires (`ttl` or `expiresAt`), and leaves its value. */
  touch<N extends NamespaceOf<S>>(key: KeyOf<S, N>, namespace: N, options: WriteOptions): Promise<Acknowledgement> {
    return this.#writer.write((admission, at) => admission.touch(at, namespace, key, options));
  }

  /** Several operations on one namespace, in order, all or none. Later ones see what earlier ones did. */
  batch<N extends NamespaceOf<S> = DefaultNamespace>(
    operations: readonly BatchOf<S, N>[],
    namespace: N = DEFAULT_NAMESPACE as N,
    options?: { readonly agent?: string | undefined },
  ): Promise<Acknowledgement> {
    return this.#writer.write((admission, at) => admission.batch(at, namespace, operations, options?.agent));
  }

  /**
   * Atomic read-modify-write: `change` gets the value (`undefined` where there is none) and gives the new one, or
   * `undefined` to leave it. It is called again where somebody else wrote in between.
   */
  update<N extends NamespaceOf<S> = DefaultNamespace, K extends KeyOf<S, N> = KeyOf<S, N>>(
    key: K,
    change: (value: ValueOf<S, N, K> | undefined) => MaybePromise<ValueOf<S, N, K> | undefined>,
    namespace: N = DEFAULT_NAMESPACE as N,
    options?: WriteOptions,
  ): Promise<Acknowledgement> {
    return this.#writer.update(key, change as (value: JsonValue | undefined) => unknown, namespace, options);
  }

  /** The value, or, where there is none, what `make` gives, which is stored. Callers at the same time share one `make`. */
  getOrSet<N extends NamespaceOf<S> = DefaultNamespace, K extends KeyOf<S, N> = KeyOf<S, N>>(
    key: K,
    make: () => MaybePromise<ValueOf<S, N, K>>,
    namespace: N = DEFAULT_NAMESPACE as N,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<ValueOf<S, N, K>> {
    return this.#writer.getOrSet(key, make, namespace, options) as Promise<ValueOf<S, N, K>>;
  }

  /** Removes every key of a namespace, which stays listed. */
  clearNamespace(
    namespace: NamespaceOf<S> = DEFAULT_NAMESPACE as NamespaceOf<S>,
    options?: { readonly agent?: string },
  ): Promise<Acknowledgement> {
    return this.#writer.write((admission, at) => admission.whole(at, 'context.clear', namespace, options?.agent));
  }

  /** Removes a namespace with its keys; written to again, it begins anew at version 1. */
  dropNamespace(namespace: NamespaceOf<S>, options?: { readonly agent?: string }): Promise<Acknowledgement> {
    return this.#writer.write((admission, at) => admission.whole(at, 'context.drop', namespace, options?.agent));
  }

  /** All of this for one namespace, without naming it each time. */
  namespace<N extends NamespaceOf<S>>(name: N): NamespaceHandle<S, N, P> {
    return new NamespaceHandle(this, name);
  }

  /**
   * Updates as they are committed, in order: `for await (const update of cache.watch({ namespace: 'trip' }))`. Begins
   * with the call, not with the first step of the loop. Ends with the signal, `break`, or the cache.
   */
  watch(options: WatchOptions = {}): AsyncIterableIterator<WatchedUpdate> {
    return watchUpdates(this.#parts, options);
  }

  /** As {@link watch}, as calls. What `listener` throws goes to `onError`. Returns how to stop. */
  subscribe(listener: (update: Update) => void, filter: Pick<WatchOptions, 'namespace' | 'keys'> = {}): () => void {
    return this.#parts.watchers.add(filter, listener);
  }

  /**
   * Committed updates from position `from` (default: the oldest held) to `to` (default: the last one), oldest first.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` where the log no longer holds `from`.
   */
  readLog(options: LogRange = {}): AsyncGenerator<Update> {
    return this.#parts.readLog(options);
  }

  /** Answers a command; see {@link ContextCommand}. With `signal`, the waiting ends; the command may be done all the same. */
  async ask<C extends ContextCommand>(
    command: C,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<AnswerTo<C>> {
    options.signal?.throwIfAborted();
    return untilAborted(answer(this.#control, command) as Promise<AnswerTo<C>>, options.signal);
  }

  /**
   * A branch: a writable cache that begins with this one as it is, or was at a moment, and never alters it. Without a
   * data directory it takes no time however large this cache is, and shares with it what it does not change: shut it down
   * before this one. Its positions go on from that moment.
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
    const branch = await makeBranch(this.#inside, this.#history, options);
    return AgentContextCache.over<S, InMemoryContextCache>(
      branch.options as OpenOptions<InMemoryContextCache>,
      branch.storage,
    );
  }

  /** Resolves once everything written so far is committed. */
  flush(): Promise<void> {
    return this.#parts.log.flush();
  }

  /**
   * Resolves once every follower has delivered what is written by now.
   *
   * @throws {ContextCacheError} `TIMED_OUT` after `timeoutMs` milliseconds (default 30,000); or the signal's reason.
   */
  async synced({ timeoutMs = 30_000, signal }: WaitOptions = {}): Promise<void> {
    const { clock, followers } = this.#parts;
    await this.flush();
    await withDeadline((limited) => followers.caughtUp(limited), { what: 'A follower', timeoutMs, clock, signal });
  }

  health(): CacheHealth {
    return this.#parts.health(this.#shutdown !== undefined);
  }

  /**
   * Takes no more commands, lets what is under way end and the followers deliver, for at most `timeoutMs` milliseconds
   * (default 5,000), then lets go of everything. Tells what was left. Calling it again gives the same.
   */
  shutdown(options: Pick<WaitOptions, 'timeoutMs'> = {}): Promise<ShutdownReport> {
    this.#shutdown ??= this.#end(options.timeoutMs ?? 5_000);
    return this.#shutdown;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /** A command that changes nothing has the primary asked what it holds; one that answers at once has answered then. */
  #hydrate(namespace: string): MaybePromise<unknown> {
    const { admission, clock, primary } = this.#parts;
    const hydrated = this.#writer.execute(admission.batch(clock.now(), namespace, [], undefined), true);
    return primary?.synchronous ? undefined : hydrated;
  }

  async #end(timeoutMs: number): Promise<ShutdownReport> {
    this.#writer.close();
    const ended = this.#parts.shutdown(timeoutMs, () => this.#writer.idle());
    const [report] = await Promise.all([ended, this.inspection.shutDown()]);
    this.#writer.giveUp();
    return report;
  }
}
