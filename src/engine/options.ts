import type { NamespaceDeps } from '../actors/namespace.ts';
import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { InMemoryContextCache } from '../backends/in-memory-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import type { BackupSettingsChange } from '../core/command.ts';
import type { AnyNamespaces, SchemasFor } from '../core/namespace-types.ts';
import type { FailureSource } from '../core/report.ts';
import type { RestartPolicy } from '../core/restart-policy.ts';
import type { ValueLimits } from '../core/value.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import type { SnapshotTransform } from '../followers/backup/snapshot-transform.ts';
import type { ContextUpdateEventPusherOptions, OpenLink } from '../followers/broadcast/event-pusher.ts';
import type { BackOff } from '../followers/follower.ts';
import type { OpenStorage } from '../storage/disk/leveldb/level-storage.ts';
import type { RetentionBounds } from '../storage/retained.ts';
import type { RingCapacity } from '../storage/update-ring.ts';
import type { InspectorOptions } from './inspector-options.ts';

/** How a cache is put together. Everything has a default: `new AgentContextCache()` is a cache in memory. */
export interface CacheOptions<P extends BaseContextCache = InMemoryContextCache, S = AnyNamespaces> {
  /**
   * The backend that reads are answered from and that keeps the values. Default: the cache's own memory, which is the
   * fastest. With one of your own each command waits for it, and is rejected where it refuses.
   */
  readonly primaryCache?: P | undefined;
  /** The backend that is mirrored to. Nothing ever waits for it. Default: none, or Redis (see `redisUrl`). */
  readonly secondaryCache?: BaseContextCache | undefined;
  /** Mirror to the Redis at `redisUrl`, or at `REDIS_URL`, or at `redis://127.0.0.1:6379`. Default false. */
  readonly useDefault?: boolean | undefined;
  /**
   * Redis to mirror to and to keep snapshots in: `redis://[user:password@]host[:port][/db][?prefix=text]`, or
   * `rediss://` for TLS. Default: none. A Redis database with one prefix belongs to one cache: see `redisPrefix`.
   */
  readonly redisUrl?: string | undefined;
  /**
   * What every key of this cache in Redis begins with, as `team-a:`; the same as `?prefix=` in the URL. Default: none.
   * Give each cache its own prefix if several use one database; no prefix may begin with another one. A second cache
   * with the prefix of a running one is refused: its mirror fails with `OWNED_BY_ANOTHER`, and local work goes on.
   */
  readonly redisPrefix?: string | undefined;
  /**
   * NATS to broadcast to, once there are topics. Default: `NATS_URL`, or `nats://127.0.0.1:4222`. `null`: this process
   * does not broadcast; in a data directory the next one that does goes on where the last one stopped.
   */
  readonly natsUrl?: string | null | undefined;
  /** Credentials and TLS for NATS, or a function that gives them anew for each connection. */
  readonly natsConnection?: ContextUpdateEventPusherOptions['connection'];
  /** Topics to broadcast to. Default: those set before in the same data directory; none. No topics, no connection. */
  readonly topics?: readonly string[] | undefined;
  /** `sender_subject_id` of the public message. Default: the environment's `SUBJECT_ID`, or null. */
  readonly subjectId?: string | null | undefined;
  /** Snapshots; see {@link BackupOptionsOfCache}. */
  readonly backup?: BackupOptionsOfCache | undefined;
  /** What the values of a namespace must look like. Default: any JSON value. */
  readonly schemas?: SchemasFor<S> | undefined;
  /** Bounds of a value. */
  readonly limits?: Partial<ValueLimits> | undefined;
  /** What the log holds in memory, and how much of what has been is kept; see {@link LogOptions}. */
  readonly log?: LogOptions | undefined;
  /** Restarting of crashed namespaces. */
  readonly restart?: Partial<RestartPolicy> | undefined;
  /** How followers wait between tries. */
  readonly backOff?: Partial<BackOff> | undefined;
  /** How long one call of the secondary may take, milliseconds. Default 5,000. */
  readonly mirrorTimeoutMs?: number | undefined;
  /** Commands that may wait for an asynchronous primary, or for a namespace that is being restarted. Default 10,000. */
  readonly maxWaiting?: number | undefined;
  /**
   * Told of every failure that nobody may be waiting for: of a follower, of a namespace, of a command that was sent
   * and not awaited. Default: a process warning; of conflicts none.
   */
  readonly onError?: ((error: Error, source: FailureSource) => void) | undefined;
  /**
   * Shows the cache to a browser on this machine: a page with its actors, its data, each update and any moment of the
   * past. The address, with the token that it asks for, is written to stderr unless there is `onListening`. Costs nothing
   * while nobody looks, but keeps the process running until the cache is shut down. Default false. Where it cannot
   * begin, `onError` is told. See `startInspector`.
   */
  readonly inspector?: boolean | InspectorOptions | undefined;
  /** Where time comes from. Default: the machine's clock. */
  readonly clock?: Clock | undefined;
  /** For tests. */
  readonly internals?: InternalOptions | undefined;
}

/** Parts that only tests replace. */
export interface InternalOptions extends Pick<NamespaceDeps, 'apply' | 'lane'> {
  /** The storage engine of a data directory. Default: LevelDB. */
  readonly openStorage?: OpenStorage | undefined;
  /** How a connection to NATS is opened. Default: by its client. */
  readonly openLink?: OpenLink | undefined;
  /** Milliseconds between two batches of the state table while little changes. Default 2,000. */
  readonly checkpointMs?: number | undefined;
}

/**
 * What the log holds in memory, and how much of what has been is kept: of the log and the past. The present is always
 * kept, and nothing goes that a follower has still to get, that is not in the state table yet, or that a view in use
 * shows. Several bounds: what any one of them lets go of goes. None: with a data directory everything is kept.
 *
 * Without a data directory the log is in memory only: nothing beyond its capacity is kept either. Where `keepUpdates` or
 * `keepBytes` is larger than the default capacity, that is the capacity.
 *
 * @example
 * ```ts
 * await AgentContextCache.open({ dataDir, log: { keepMs: 30 * 24 * 3_600_000, keepBytes: 10 * 2 ** 30 } });
 * ```
 */
export interface LogOptions extends RingCapacity, RetentionBounds {}

/** Where and when snapshots are taken. */
export interface BackupOptionsOfCache extends BackupSettingsChange {
  /** Whether snapshots are taken by themselves. Default: as it was left in the data directory; false. */
  readonly enabled?: boolean | undefined;
  /** Where they are kept. Default: the Redis of `redisUrl`; else `backups` in the data directory. */
  readonly store?: SnapshotStore | undefined;
  /** Applied to what is stored, as compression is. Default: none. */
  readonly transforms?: readonly SnapshotTransform[] | undefined;
}

/** How a cache is opened that is to be on a durable log, to be restored from a snapshot, or both. */
export interface OpenOptions<P extends BaseContextCache = InMemoryContextCache, S = AnyNamespaces>
  extends CacheOptions<P, S> {
  /**
   * The directory of the log and the state. Made where it is not there; one process at a time. Default: none, the
   * cache is in memory.
   */
  readonly dataDir?: string | undefined;
  /**
   * Begin with the newest whole snapshot there: a store, a `redis://` URL, a directory of snapshots; or a data
   * directory that nobody serves: with the newest snapshot of its `backups`, and then all that its log has after that.
   * The cache's own data directory must be empty. A damaged snapshot is told to `onError` and the one before it taken.
   * For a snapshot and a log that lie elsewhere see `replay`.
   */
  readonly restoreFrom?: SnapshotStore | string | undefined;
  /**
   * With a data directory, when `set` and its kin resolve: `log` once the update is on disk; `memory` at once, while
   * it is on its way. Default `log`.
   */
  readonly durability?: 'memory' | 'log' | undefined;
  /** Whether the log waits for the disk. Default true; with false a crash of the machine may take the last updates. */
  readonly sync?: boolean | undefined;
  /** How long a namespace may be idle before it leaves memory for the directory, milliseconds. Default 600,000; 0: never. */
  readonly passivateAfterMs?: number | undefined;
  /** Namespaces in memory at the most, with a data directory; the idle ones leave first. Default 100,000. */
  readonly maxResidentNamespaces?: number | undefined;
}

/** The options of a cache with any primary backend, as the parts of the cache take them. */
export type EngineOptions = OpenOptions<BaseContextCache>;
