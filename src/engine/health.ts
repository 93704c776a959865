import type { BackupStatus } from '../followers/backup/backup-sink.ts';
import type { FollowerHealth } from '../followers/follower.ts';
import type { RetentionHealth } from '../storage/retention.ts';
import type { LogStatus } from '../storage/update-log.ts';

/** How a cache is doing, all of it, at one moment. */
export interface CacheHealth {
  /** `degraded`: something needs looking at; the parts say what. */
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
    /** In memory. */
    readonly resident: number;
    /** Names of those that crashed too often and were given up, and of those whose state on disk cannot be read. */
    readonly failed: readonly string[];
    readonly restarts: number;
  };
  readonly followers: readonly FollowerHealth[];
  readonly topics: readonly string[];
  readonly backup: BackupStatus | undefined;
  readonly watchers: number;
  /** Failures told to `onError` so far, and the last one. */
  readonly errors: {
    readonly count: number;
    readonly last: { readonly code: string; readonly message: string; readonly at: number } | undefined;
  };
}
