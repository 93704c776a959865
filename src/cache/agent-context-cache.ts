import type { ActorRefFrom } from 'xstate';
import type { SupervisorLogic } from '../actors/supervisor.ts';
import { watchUpdates } from '../actors/watch.ts';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { InMemoryContextCache } from '../backends/in-memory-context-cache.ts';
import type { BackupSettings, BackupSettingsChange, ContextCommand, TransactionResult } from '../core/command.ts';
import { untilAborted } from '../core/deadline.ts';
import type { Grant } from '../core/grants.ts';
import { nameOf } from '../core/namespace-parts.ts';
import type { AnyNamespaces, NamespaceOf, NamespaceTypes, PartsArgument } from '../core/namespace-types.ts';
import { openedUpdate } from '../core/opened.ts';
import type { SchemaCheckOptions, SchemaReport } from '../core/schema-report.ts';
import type { NamespaceSchemas } from '../core/schemas.ts';
import { type Stamp, stamped, stampedCommand, stampOf } from '../core/stamp.ts';
import type { Update } from '../core/update.ts';
import { TRANSACTION_OPTIONS } from '../core/write-options.ts';
import { ChangesReader } from '../engine/changes-reader.ts';
import { durationOf, inMilliseconds } from '../engine/durations.ts';
import { Engine, type ShutdownReport } from '../engine/engine.ts';
import type { CacheHealth } from '../engine/health.ts';
import { Inspection } from '../engine/inspection.ts';
import { createInternals, INTERNALS, type Internals, internalsOf } from '../engine/internals.ts';
import { leaveCluster, nothingToLeave } from '../engine/leave-cluster.ts';
import type { LogRange } from '../engine/log-range.ts';
import { CACHE_OPTIONS, OPEN_OPTIONS } from '../engine/option-names.ts';
import type { CacheOptions, EngineOptions, OpenOptions } from '../engine/options.ts';
import { Reader } from '../engine/reader.ts';
import { Settings } from '../engine/settings.ts';
import { memoryStorage, type Storage } from '../engine/storage.ts';
import { TraceReader } from '../engine/trace-reader.ts';
import { Writer } from '../engine/writer.ts';
import type { BackupStatus } from '../followers/backup/backup-sink.ts';
import type { SnapshotInfo } from '../followers/backup/snapshot-format.ts';
import type { Difference } from '../past/difference.ts';
import type { DifferenceOptions } from '../past/difference-options.ts';
import { Digests } from '../past/digests.ts';
import { type BisectOptions, type Culprit, History, type PositionOrDate } from '../past/history.ts';
import { type MergeOptions, type MergeReport, merge } from '../past/merge.ts';
import type { CacheView } from '../past/view.ts';
import type { RemoteContextCache } from '../remote/remote-context-cache.ts';
import type { ShareOptions } from '../share/share-options.ts';
import type { CompactReport } from '../storage/retention.ts';
import { Verifier } from '../verify/verify.ts';
import type { VerifyOptions, VerifyReport } from '../verify/verify-report.ts';
import { AgentCache, type OwnedCache } from './agent-cache.ts';
import { CacheMethods } from './cache-methods.ts';
import { checkRead } from './check-read.ts';
import { checkOwnSchemas } from './check-schemas.ts';
import { answer, type ControlDeps } from './control.ts';
import { flush } from './flush.ts';
import type { ForgetOptions, ForgetReport, SubjectInfo } from './forget.ts';
import { type ForkOptions, makeBranch } from './fork.ts';
import type { MethodParts } from './method-parts.ts';
import { ASK_OPTIONS, BACKUP_NOW_OPTIONS, FORGET_OPTIONS, SHUTDOWN_OPTIONS, SYNCED_OPTIONS } from './option-names.ts';
import type { OwnerMethods } from './owner-methods.ts';
import { reached } from './reached.ts';
import { restrictedParts } from './restricted-parts.ts';
import { startOwnInspector } from './start-inspector.ts';
import { storageOf } from './storage-of.ts';
import type { AnswerTo, CompactionOptions, WaitOptions } from './types.ts';

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
  >
  extends CacheMethods<S, P>
  implements OwnerMethods
{
  /** Reads for tools that show a cache. */
  readonly inspection: Inspection;
  readonly #engine: Engine;
  readonly #writer: Writer;
  readonly #methods: MethodParts;
  readonly #stamp: (() => Stamp | undefined) | undefined;
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
    const { access, registry, primary, clock, supervisor, admission, log, report, activity, sequencer } = engine;
    const { subjects, reading, watchers } = engine;
    const hydrate = (namespace: string) => this.#hydrate(namespace);
    const reader = new Reader(registry, primary, clock, hydrate, activity, reading, sequencer);
    const readEntry = (key: string, namespace: string) => reader.entry(key, namespace);
    const readFromPrimary = primary && ((key: string, namespace: string) => reader.get(key, namespace));
    const writer = new Writer({
      supervisor: sequencer === undefined ? supervisor : { dispatch: (request) => sequencer.send(request), registry },
      admission,
      log,
      clock: engine.door,
      awaitCommit,
      readEntry,
      readFromPrimary,
      report,
      conflicts: engine.conflicts,
      activity,
      subjects: reading,
    });
    const watching = { log, registry, watchers, clock, primary, subjects: reading };
    const history = new History(storage.past, log, clock, subjects);
    const changes = new ChangesReader({
      log,
      clock,
      report,
      activity,
      subjects: reading,
      ...{ registry, sequencer, past: storage.past },
      hasPrimary: primary !== undefined,
    });
    const trace = new TraceReader({ log, clock, report, registry, subjects, past: storage.past });
    if (options.onContradiction !== undefined) trace.onContradiction(options.onContradiction);
    const stamp = stampOf(options.context);
    const methods: MethodParts = {
      ...{ reader, writer, history, nameOf, stamp },
      readWith: (key, namespace, options) => {
        checkRead(sequencer, options);
        return reader.get(key, namespace);
      },
      entryWith: (key, namespace, options) => {
        checkRead(sequencer, options);
        return reader.entry(key, namespace);
      },
      barrier: () => writer.guard(async () => void (await sequencer?.barrier())),
      reached: (position, options) => reached(engine, position, options),
      restrict: (parts, agent) => restrictedParts(parts, access, agent),
      ...{ position: () => log.head, flush: () => writer.guard(() => flush(engine)) },
      changes: (options, see) => writer.guard(() => changes.read(options, see)),
      watch: (options, see) => watchUpdates(watching, options, see),
      subscribe: (listener, filter, see) =>
        watchers.add(filter, (each) => {
          const seen = see === undefined ? each : see(each);
          if (seen !== undefined) listener(openedUpdate(reading, seen));
        }),
      guard: (run) => writer.guard(run),
      ask: async (command) => (await answer(this.#control, command)) as never,
      transaction: (operations, options) =>
        writer.guard(async () => {
          TRANSACTION_OPTIONS.check(options);
          const command = { type: 'context.transaction', operations, ...options } as const;
          return (await answer(this.#control, command)) as TransactionResult;
        }),
    };
    super(methods);
    this.#methods = methods;
    this.#engine = engine;
    this.#stamp = stamp;
    this.#writer = writer;
    this.#history = history;
    this.#digests = new Digests(registry, log, clock);
    this.#settings = new Settings(engine);
    this.#verifier = new Verifier(engine, storage, options.backup?.transforms);
    this.#control = {
      ...{
        parts: engine,
        reader,
        readWith: methods.readWith,
        entryWith: methods.entryWith,
        writer,
        changes,
        trace,
        past: storage.past,
        settings: this.#settings,
        verifier: this.#verifier,
      },
      health: () => this.health(),
    };
    this.#internals = createInternals({ past: storage.past, parts: engine, options, writer });
    this.#supervisor = {
      getSnapshot: () => supervisor.actor.getSnapshot(),
      subscribe: supervisor.actor.subscribe.bind(supervisor.actor),
      send: (command) => supervisor.accept(stampedCommand(command, stamp?.())),
    };
    this.inspection = new Inspection(engine, storage, options);
    if (options.inspector) startOwnInspector(this as unknown as AgentContextCache, options.inspector, report);
  }

  /**
   * Opens a cache on the durable log in `dataDir`, one that starts from a snapshot (`restoreFrom`), or a node of a cluster
   * (`cluster`); without any of them, one in memory.
   *
   * @throws {ContextCacheError} `DIRECTORY_LOCKED`, `FORMAT_UNSUPPORTED`, `LOG_CORRUPT`, `LOG_UNAVAILABLE`; when
   *   restoring `NOT_EMPTY`, `NOT_FOUND`, `SNAPSHOT_CORRUPT`, `UNREACHABLE`, and the errors of `replay` if the log of
   *   a data directory is damaged. With `cluster` the errors of its options; `NOT_FOUND` if the stream does not exist,
   *   `BACKEND_FAILED` if the servers are too old or the stream is set up differently, `UNREACHABLE`, `TIMED_OUT`, and
   *   `POSITION_UNAVAILABLE` if the stream has discarded what the node needs and no snapshot has it.
   */
  static open<S extends NamespaceTypes<S> = AnyNamespaces, P extends BaseContextCache = InMemoryContextCache>(
    options?: OpenOptions<P, S>,
  ): Promise<AgentContextCache<S, P>>;
  static async open(given: OpenOptions = {}): Promise<unknown> {
    const options = inMilliseconds(OPEN_OPTIONS.checked(given));
    const { cluster } = options;
    if (cluster === undefined) return AgentContextCache.over(options, await storageOf(options));
    const { openCluster } = await import('../cluster/open/open-cluster.ts');
    return openCluster({ ...options, cluster }, async (engineOptions, storage) => {
      const cache = await AgentContextCache.over(engineOptions, storage);
      return { cache, parts: cache[INTERNALS].parts };
    });
  }

  /**
   * Shares a data directory with other processes of this user on this machine. The first process opens it and serves the
   * others; when it ends, is killed or hangs, another one takes over within 2 seconds, and the rest go on with that one. The
   * result is the same in all of them: a client, whose methods are those of a cache, all asynchronous.
   *
   * While the holder changes, reads are repeated, watches continue, and a write that was sent and not answered is sent again and
   * done once. A holder that gives no sign of life for `hungAfterMs` is ended by the others.
   *
   * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`; `UNREACHABLE` if another process holds the directory and
   *   does not answer; `DIRECTORY_LOCKED` if one has it open without serving it; the errors of {@link open}; and the signal's
   *   reason.
   *
   * @example
   * ```ts
   * await using memory = await AgentContextCache.share('./agent-memory');
   * await memory.set('plan', ['search', 'book'], 'trip');
   * ```
   */
  static async share<S extends NamespaceTypes<S> = AnyNamespaces>(
    dataDir: string,
    options: ShareOptions<S> = {},
  ): Promise<RemoteContextCache<S>> {
    const { share } = await import('../share/share.ts');
    return share(AgentContextCache, dataDir, options);
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
      const given = stampedCommand(command, this.#stamp?.());
      return untilAborted(answer(this.#control, given) as Promise<AnswerTo<C>>, options.signal);
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
   * Positions count updates. A view in the middle of a transaction's updates shows the part up to there; views at the position
   * that the transaction resolved with, at `cache.position` and at instants show all of it.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` if the position is no longer kept (in memory: once the log has
   *   released its oldest updates) or not yet written; `INVALID_OPTION`, `CLOSED`.
   */
  at(position: number | Date): CacheView<S> {
    return this.#history.at(position) as unknown as CacheView<S>;
  }

  /**
   * Returns the entries that were added, changed and removed from `a` to `b`. Each is a position, an instant, a view, or
   * a cache in its present state: `parent.diff(parent, branch)`. Rejects with the errors of {@link at}.
   */
  diff(a: PositionOrDate, b: PositionOrDate, options: DifferenceOptions<NamespaceOf<S>> = {}): Promise<Difference> {
    return this.#guard(async () => {
      return this.#history.diff(a, b, options);
    });
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
    return this.#guard(async () => {
      return this.#history.bisect((view) => holds(view as unknown as CacheView<S>), options);
    });
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
  fork(options: ForkOptions = {}): Promise<AgentContextCache<S>> {
    return this.#guard(async () => {
      const branch = await makeBranch(this.#internals, this.#history, options);
      return AgentContextCache.over<S, InMemoryContextCache>(branch.options, branch.storage);
    });
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
  merge(branch: AgentContextCache<S>, options: MergeOptions = {}): Promise<MergeReport> {
    return this.#guard(async () => {
      return merge(this.#internals, internalsOf(branch), options);
    });
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
  digest(namespace?: NamespaceOf<S> | PartsArgument<S>): Promise<string> {
    return this.#guard(async () => {
      return namespace === undefined ? this.#digests.all() : this.#digests.of(nameOf(namespace));
    });
  }

  forget(subject: string, options: ForgetOptions = {}): Promise<ForgetReport> {
    return this.#guard(async () => {
      FORGET_OPTIONS.check(options);
      return this.ask({ ...stamped(options, this.#stamp?.()), type: 'subjects.forget', subject });
    });
  }

  subjects(): Promise<SubjectInfo[]> {
    return this.ask({ type: 'subjects.list' });
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
    return this.#guard(async () => {
      return this.#verifier.verify(options);
    });
  }

  checkSchemas(schemas: NamespaceSchemas, options?: SchemaCheckOptions): Promise<SchemaReport> {
    const hydrate = (namespace: string) => this.#hydrate(namespace);
    const own = { cache: this as unknown as AgentContextCache, engine: this.#engine, hydrate };
    return this.#guard(() => checkOwnSchemas(own, schemas, options));
  }

  /** Replaces the topics that updates are broadcast to. */
  setTopicsList(topics: readonly string[]): Promise<void> {
    return this.#guard(async () => {
      return this.#settings.setTopicsList(topics);
    });
  }

  /** Returns the topics that updates are broadcast to. */
  getTopicsList(): string[] {
    return this.#settings.getTopicsList();
  }

  /** Adds a topic. It gets the updates after this call. */
  addTopic(topic: string): Promise<void> {
    return this.#guard(async () => {
      return this.#settings.addTopic(topic);
    });
  }

  /** Removes a topic. */
  removeTopic(topic: string): Promise<void> {
    return this.#guard(async () => {
      return this.#settings.removeTopic(topic);
    });
  }

  /** Starts taking snapshots by the backup settings. */
  enableBackup(settings?: BackupSettingsChange): Promise<void> {
    return this.#guard(async () => {
      return this.#settings.enableBackup(settings);
    });
  }

  /** Stops taking snapshots. Those that are stored stay. */
  disableBackup(): Promise<void> {
    return this.#guard(async () => {
      return this.#settings.disableBackup();
    });
  }

  /** Returns whether snapshots are taken by the backup settings. */
  isBackupEnabled(): boolean {
    return this.#settings.isBackupEnabled();
  }

  /** Changes the settings that are given and keeps the others. */
  setBackupSettings(settings: BackupSettingsChange): Promise<void> {
    return this.#guard(async () => {
      return this.#settings.setBackupSettings(settings);
    });
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
  backup(options: { readonly signal?: AbortSignal } = {}): Promise<SnapshotInfo> {
    return this.#guard(async () => {
      BACKUP_NOW_OPTIONS.check(options);
      return this.#settings.backupNow(options);
    });
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
  compact(options?: CompactionOptions): Promise<CompactReport> {
    return this.#guard(async () => {
      const keepMs = durationOf('keepMs', options?.keepMs);
      return this.#engine.retention.compact(options && { ...options, keepMs });
    });
  }

  /**
   * Resolves once every follower has delivered everything written so far.
   *
   * @throws {ContextCacheError} `TIMED_OUT` after `timeoutMs` (default 30,000 ms); or the signal's reason.
   */
  synced(options: WaitOptions = {}): Promise<void> {
    return this.#guard(async () => {
      const { timeoutMs, signal } = SYNCED_OPTIONS.checked(options);
      const { clock, followers } = this.#engine;
      await this.flush();
      await followers.caughtUpWithin(durationOf('timeoutMs', timeoutMs) ?? 30_000, clock, signal);
    });
  }

  getGrants(): readonly Grant[] {
    return this.#engine.access.list;
  }

  setGrants(grants: readonly Grant[]): Promise<void> {
    return this.#guard(async () => this.#engine.access.set(grants));
  }

  addGrant(grant: Grant): Promise<void> {
    return this.#guard(async () => this.#engine.access.add(grant));
  }

  removeGrant(agent: string): Promise<void> {
    return this.#guard(async () => this.#engine.access.remove(agent));
  }

  /** @internal Returns this cache as an agent may use it. */
  forAgent(agent: string): AgentCache {
    return new AgentCache(this as unknown as OwnedCache, this.#methods, agent);
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
      return this.#guard(() => Promise.reject(error));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /** Calls `run`. Its rejection needs no handler: if it has none, it is reported. */
  #guard<Result>(run: () => Promise<Result>): Promise<Result> {
    return this.#writer.guard(run);
  }

  /**
   * Loads a namespace from the primary with a command that changes nothing. A synchronous primary has answered when this
   * returns.
   */
  #hydrate(namespace: string): MaybePromise<unknown> {
    const { admission, clock, primary } = this.#engine;
    const hydrated = this.#writer.send(admission.batch(clock.now(), namespace, [], undefined));
    if (!primary?.synchronous) return hydrated;
    // The read itself reports that the primary cannot be read.
    hydrated.catch(() => {});
    return undefined;
  }

  async #end(timeoutMs: number): Promise<ShutdownReport> {
    this.#writer.close();
    const { sequencer, clock } = this.#engine;
    const { left, leftMs } =
      sequencer === undefined ? nothingToLeave(timeoutMs) : await leaveCluster({ sequencer, clock }, timeoutMs);
    const ended = this.#engine.shutdown(leftMs, () => this.#writer.idle(), left);
    const [report] = await Promise.all([ended, this.inspection.shutDown()]);
    this.#writer.giveUp();
    return report;
  }
}
