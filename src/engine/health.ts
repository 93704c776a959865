import type { BackupStatus } from '../followers/backup/backup-sink.ts';
import type { Follower, FollowerConnection, FollowerHealth } from '../followers/follower.ts';
import type { ActivityHealth } from '../monitoring/activity.ts';
import type { RetentionHealth } from '../storage/retention.ts';
import type { LogStatus } from '../storage/update-log.ts';
import type { AccessHealth } from './access.ts';
import type { ClusterHealth } from './sequencer.ts';

/** An outside server that the cache delivers to. */
export interface ServerHealth extends FollowerConnection {
  /** Its URL, or host and port, without user and password; several are separated by commas. */
  readonly address: string;
}

/** The condition of a cache and of its parts. */
export interface CacheHealth {
  /** `degraded` if the log, a namespace or a follower has a problem; the fields below show which. */
  readonly status: 'ok' | 'degraded' | 'closed';
  readonly log: {
    readonly id: string;
    readonly durable: boolean;
    readonly status: LogStatus;
    readonly head: number;
    readonly committed: number;
    /** Oldest position that the log holds. */
    readonly first: number;
  };
  readonly retention: RetentionHealth;
  readonly namespaces: {
    readonly total: number;
    /** Number of namespaces in memory. */
    readonly resident: number;
    /** Names of the namespaces that crashed too often to be restarted, or whose state on disk cannot be read. */
    readonly failed: readonly string[];
    readonly restarts: number;
  };
  readonly followers: readonly FollowerHealth[];
  /** The Redis that the cache mirrors to; `undefined` if it mirrors to none. */
  readonly redis: ServerHealth | undefined;
  /** The NATS that the cache broadcasts to; `undefined` while it has no topics, or may not broadcast. */
  readonly nats: ServerHealth | undefined;
  readonly topics: readonly string[];
  readonly backup: BackupStatus | undefined;
  readonly watchers: number;
  /** Failures reported to `onError` so far, and the last one. */
  readonly errors: {
    readonly count: number;
    readonly last: { readonly code: string; readonly message: string; readonly at: number } | undefined;
  };
  /** The grants, and what was refused because of them. A client with the token of an agent sees only that agent's refusals. */
  readonly access: AccessHealth;
  /** Counters and latencies of commands since the cache was opened. */
  readonly activity: ActivityHealth;
  /** The node and its cluster; `undefined` without one. */
  readonly cluster: ClusterHealth | undefined;
}

/** Returns the condition of the server behind a follower; `undefined` if either does not exist. */
export function serverHealth(
  follower: Pick<Follower, 'connection'> | undefined,
  server: { readonly description: string } | undefined,
): ServerHealth | undefined {
  if (follower === undefined || server === undefined) return undefined;
  return { address: server.description, ...follower.connection };
}
