import type { NamespaceDeps } from '../actors/executor.ts';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { InMemoryContextCache } from '../backends/in-memory-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import type { BackupSettingsChange, Duration } from '../core/command.ts';
import type { Contradiction } from '../core/contradiction.ts';
import type { Grant } from '../core/grants.ts';
import type { CacheLimits } from '../core/limits.ts';
import type { Migration } from '../core/migrations.ts';
import type { AnyNamespaces, SchemasFor } from '../core/namespace-types.ts';
import type { FailureSource } from '../core/report.ts';
import type { RestartPolicy } from '../core/restart-policy.ts';
import type { StampContext } from '../core/stamp.ts';
import type { LoadedSnapshot } from '../followers/backup/backup-loader.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import type { SnapshotTransform } from '../followers/backup/snapshot-transform.ts';
import type { ContextUpdateEventPusherOptions, OpenLink } from '../followers/broadcast/event-pusher.ts';
import type { BackOff } from '../followers/follower.ts';
import type { Logger, MonitoringOptions } from '../monitoring/reporter.ts';
import type { ConfigStore } from '../storage/config-store.ts';
import type { Files } from '../storage/disk/files.ts';
import type { OpenStorage } from '../storage/disk/index/leveldb/level-storage.ts';
import type { RetentionBounds } from '../storage/retained.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { RingCapacity } from '../storage/update-ring.ts';
import type { SubjectKeyStore } from '../subjects/subject-keys.ts';
import type { Access } from './access.ts';
import type { ClusterOptions } from './cluster-options.ts';
import type { InspectorOptions } from './inspector-options.ts';
import type { Sequencer } from './sequencer.ts';

/**
 * The options of a cache. Each has a default: `new AgentContextCache()` is a cache in memory.
 *
 * A duration is a number of milliseconds or a text such as `'10s'` or `'5m'`.
 */
export interface CacheOptions<P extends BaseContextCache = InMemoryContextCache, S = AnyNamespaces> {
  /**
   * The backend that keeps the values and answers reads. Default: the cache's own memory, which is the fastest. Each
   * command waits for a backend of your own, and is rejected if the backend refuses it.
   */
  readonly primaryCache?: P | undefined;
  /** The backend that updates are mirrored to. No command waits for it. Default: the Redis of `redisUrl`; else none. */
  readonly secondaryCache?: BaseContextCache | undefined;
  /** Mirror to the Redis at `redisUrl`, or at `REDIS_URL`, or at `redis://127.0.0.1:6379`. Default false. */
  readonly useDefault?: boolean | undefined;
  /**
   * Redis to mirror to and to keep snapshots in: `redis://[user:password@]host[:port][/db][?prefix=text]`, or
   * `rediss://` for TLS. Default: none. A Redis database with one prefix belongs to one cache: see `redisPrefix`.
   */
  readonly redisUrl?: string | undefined;
  /**
   * Prefix of every key of this cache in Redis, such as `team-a:`; the same as `?prefix=` in the URL. Default: none.
   * Give each cache its own prefix if several use one database; no prefix may begin with another one. A second cache
   * with the prefix of a running one is refused: its mirror fails with `OWNED_BY_ANOTHER`, and local work continues.
   */
  readonly redisPrefix?: string | undefined;
  /**
   * NATS to broadcast to, once there are topics. Default: `NATS_URL`, or `nats://127.0.0.1:4222`. With `null` this
   * process does not broadcast; in a data directory the next process that does continues from the last checkpoint.
   */
  readonly natsUrl?: string | null | undefined;
  /** Credentials and TLS for NATS, or a function that returns them for each connection. */
  readonly natsConnection?: ContextUpdateEventPusherOptions['connection'];
  /** Topics to broadcast to. Default: those that the data directory keeps, else none. Without topics nothing connects. */
  readonly topics?: readonly string[] | undefined;
  /** `sender_subject_id` of the public message. Default: the environment's `SUBJECT_ID`, or null. */
  readonly subjectId?: string | null | undefined;
  /** Snapshots; see {@link BackupOptionsOfCache}. */
  readonly backup?: BackupOptionsOfCache | undefined;
  /**
   * What each agent may read and write; see {@link Grant}. They replace those that the data directory keeps. An empty list
   * removes them. Default: those that the data directory keeps, else none. Without grants every agent may do everything; with
   * at least one, an agent may do only what it has a grant for. In a cluster all nodes share them: the option counts if the cluster has
   * none yet.
   */
  readonly grants?: readonly Grant[] | undefined;
  /** Schemas of the values, by namespace or pattern; see `NamespaceSchemas`. Default: any JSON value. */
  readonly schemas?: SchemasFor<S> | undefined;
  /**
   * Steps that give old values the form of the present schemas when they are read; see {@link Migration}. What is stored stays as it was
   * written, also in the log. Default: none.
   */
  readonly migrations?: readonly Migration[] | undefined;
  /**
   * Keys of the subjects that values are about, so that a subject can be forgotten; see {@link SubjectsOptions}. Default: none. Writes
   * with `subject` are refused then, and values that have one cannot be read.
   */
  readonly subjects?: SubjectsOptions | undefined;
  /** Limits of what may be set: size and depth of a value, size of a key. */
  readonly limits?: { readonly [Name in keyof CacheLimits]?: CacheLimits[Name] | undefined } | undefined;
  /** Size of the log in memory, and how much of the past is kept; see {@link LogOptions}. */
  readonly log?: LogOptions | undefined;
  /** How often, and after what pause, a crashed namespace is restarted. */
  readonly restart?: WithDurations<Partial<RestartPolicy>, 'periodMs' | 'backOffMs'> | undefined;
  /** Pauses of a follower between two tries. */
  readonly backOff?: WithDurations<Partial<BackOff>, 'initialMs' | 'maximumMs'> | undefined;
  /** Duration that one call of the secondary may take. Default 5,000 ms. */
  readonly mirrorTimeoutMs?: Duration | undefined;
  /** Commands that may wait for an asynchronous primary, or for a namespace that is being restarted. Default 10,000. */
  readonly maxWaiting?: number | undefined;
  /**
   * Called with every failure that no caller handles: of a follower, of a namespace, of a command whose promise is not
   * awaited. Default, without a `logger` too: a process warning, except for conflicts.
   */
  readonly onError?: ((error: Error, source: FailureSource) => void) | undefined;
  /**
   * Called with each contradiction that a write causes from now on, after the commit; see `contradictions`. The hook decides: it may
   * write. What it throws is reported. Creates the index of `contradictions` when the cache opens. A branch does not inherit it; in
   * a cluster each node that has it calls it. Default: none.
   */
  readonly onContradiction?: ((contradiction: Contradiction) => MaybePromise<void>) | undefined;
  /**
   * Takes log lines, as `pino` and `console` do; see {@link Logger}. The failures that `onError` is called with are its lines
   * of level `error`. With a logger or `onError` none becomes a process warning. Default: none.
   */
  readonly logger?: Logger | undefined;
  /**
   * Says for each write who makes it and why, so that deep code needs no handle: an `AsyncLocalStorage` of `{ agent, meta }`. What
   * a write or a handle says itself comes first. Default: none.
   *
   * @example
   * ```ts
   * const context = new AsyncLocalStorage<Stamp>();
   * const cache = await AgentContextCache.open({ dataDir, context });
   * await context.run({ agent: 'planner', meta: { task: 't-7' } }, () => plan(cache));
   * ```
   */
  readonly context?: StampContext | undefined;
  /** Contents of log lines and tracing channels; see {@link MonitoringOptions}. */
  readonly monitoring?: MonitoringOptions | undefined;
  /**
   * Serves a page for a browser on this machine: actors, data, each update, and the state at any position. Writes its
   * address, with the token, to stderr unless `onListening` is given. Costs nothing while no page is open, but keeps the
   * process running until the cache is shut down. `onError` is called if it cannot start. Default false. See
   * `startInspector`.
   */
  readonly inspector?: boolean | InspectorOptions | undefined;
  /** Source of time. Default: the clock of the machine. */
  readonly clock?: Clock | undefined;
  /**
   * Replaced parts. Only for tests.
   * @internal
   */
  readonly internals?: InternalOptions | undefined;
}

/**
 * How values with subjects are encrypted.
 *
 * @example
 * ```ts
 * const cache = await AgentContextCache.open({ dataDir: './memory', subjects: { keys: '/var/lib/agents/subject.keys' } });
 * await cache.set('address', 'Karl Johans gate 1', 'trip', { subject: 'user-42' });
 * await cache.forget('user-42', { reason: 'asked by mail' });
 * ```
 */
export interface SubjectsOptions {
  /**
   * The store of the keys, or the path of a file for `fileSubjectKeys`, outside of the data directory. All caches that read the same
   * values need the same store: branches inherit it, the nodes of a cluster and the processes that share a directory are given it.
   */
  readonly keys: SubjectKeyStore | string;
}

/** Parts that only tests replace. */
export interface InternalOptions extends Pick<NamespaceDeps, 'apply' | 'lane'> {
  /** The file system that the log of a data directory lies in. Default: that of the machine. */
  readonly files?: Files | undefined;
  /** The storage engine of the index of a data directory, used in this thread. Default: LevelDB, written by a worker thread. */
  readonly openStorage?: OpenStorage | undefined;
  /** Opens a connection to NATS. Default: with the NATS client. */
  readonly openLink?: OpenLink | undefined;
  /** Milliseconds between two writes of the state table while little changes. Default 2,000. */
  readonly checkpointMs?: number | undefined;
  /** The protocols that a node of a cluster understands. Default: those of this version. */
  readonly protocols?: { readonly min: number; readonly max: number } | undefined;
}

/**
 * The size of the log in memory, and how much of the log and of the past is kept. Always kept are the present, updates
 * that a follower or the state table still needs, and the past that a view in use shows. An update is discarded as soon
 * as one of the bounds is exceeded. Without bounds a data directory keeps everything.
 *
 * Without a data directory the log is in memory only and keeps nothing beyond its capacity, which `keepUpdates` or
 * `keepBytes` enlarges if it is larger than the default.
 *
 * @example
 * ```ts
 * await AgentContextCache.open({ dataDir, log: { keepMs: '30 days', keepBytes: 10 * 2 ** 30 } });
 * ```
 */
export interface LogOptions extends RingCapacity, WithDurations<RetentionBounds, 'keepMs'> {}

/** The store of the snapshots and the settings by which they are taken. */
export interface BackupOptionsOfCache extends BackupSettingsChange {
  /** Takes snapshots by the settings. Default: the setting stored in the data directory, else false. */
  readonly enabled?: boolean | undefined;
  /** Store of the snapshots. Default: the Redis of `redisUrl`; else `backups` in the data directory. */
  readonly store?: SnapshotStore | undefined;
  /** Transforms of the stored bytes, such as compression. Default: none. */
  readonly transforms?: readonly SnapshotTransform[] | undefined;
}

/** The options of a cache on a durable log, restored from a snapshot, or both. */
export interface OpenOptions<P extends BaseContextCache = InMemoryContextCache, S = AnyNamespaces>
  extends CacheOptions<P, S> {
  /**
   * The directory of the log and the state. Created if it is missing; one process at a time. Default: none, the cache
   * is in memory.
   */
  readonly dataDir?: string | undefined;
  /**
   * Makes the cache a node of a cluster; see {@link ClusterOptions}. A write resolves once the stream has stored it and this node
   * has applied it, and is visible from then on. With `dataDir` a restart continues at the node's own cursor. Default: none.
   * `primaryCache` and `restoreFrom` are refused together with it.
   */
  readonly cluster?: ClusterOptions | undefined;
  /**
   * Start from the newest complete snapshot in a store, at a `redis://` URL, or in a directory of snapshots; or from a data
   * directory that no process has open: from the newest snapshot in its `backups` and everything after it in its log.
   * The cache's own data directory must be empty. A damaged snapshot is reported to `onError`, and the one before it is
   * used. `replay` takes a snapshot and a log from different locations.
   */
  readonly restoreFrom?: SnapshotStore | string | undefined;
  /**
   * When a write resolves, with a data directory: with `log` once the update is on disk, with `memory` at once. Default
   * `log`.
   */
  readonly durability?: 'memory' | 'log' | undefined;
  /** Makes the log wait for the disk. Default true. With false a crash of the machine may lose the last updates. */
  readonly sync?: boolean | undefined;
  /** Idle time after which a namespace leaves memory for the directory. Default 600,000 ms; 0: never. */
  readonly passivateAfterMs?: Duration | undefined;
  /** Maximum number of namespaces in memory, with a data directory; idle ones leave first. Default 100,000. */
  readonly maxResidentNamespaces?: number | undefined;
}

/** `T` with the named durations as a number of milliseconds or a text. */
type WithDurations<T, Names extends keyof T> = Omit<T, Names> & {
  readonly [Name in Names]?: Duration | undefined;
};

/** The options of a cache with any primary backend and all durations in milliseconds, as the parts of a cache take them. */
export interface EngineOptions
  extends Omit<OpenOptions<BaseContextCache>, 'mirrorTimeoutMs' | 'passivateAfterMs' | 'log' | 'restart' | 'backOff'> {
  readonly mirrorTimeoutMs?: number | undefined;
  readonly passivateAfterMs?: number | undefined;
  readonly log?: (RingCapacity & RetentionBounds) | undefined;
  readonly restart?: Partial<RestartPolicy> | undefined;
  readonly backOff?: Partial<BackOff> | undefined;
  /** `true` for a branch: it reads with its parent's keys and must not destroy them. */
  readonly isBranch?: boolean | undefined;
  /** The grants of the parent, which hold in a branch in memory until it is given its own. */
  readonly parentAccess?: Access | undefined;
  /** Orders the commands of a node of a cluster. */
  readonly sequencer?: Sequencer | undefined;
  /** `true` if the nodes of the cluster share the store of the snapshots, so that one of them takes the snapshots. */
  readonly sharesSnapshots?: boolean | undefined;
  /** Id of a log that is created. Default: a random one. */
  readonly logId?: string | undefined;
  /** Returns the snapshot that a cache starts from. Called with the log and its settings, before the index is opened. */
  readonly begin?: ((log: UpdateLog, settings: ConfigStore) => Promise<LoadedSnapshot | undefined>) | undefined;
}
