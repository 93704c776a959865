import { join } from 'node:path';
import { DirectorySnapshotStore, RedisSnapshotStore, type SnapshotInfo, type SnapshotStore } from '../backup.ts';
import { BackupManager } from '../index.ts';
import { redisFor } from './config/options.ts';
import type { Context } from './context.ts';
import { UsageError } from './terminal/failure.ts';

/** Where snapshots are kept: in a Redis, in a directory, or else beside the data. */
export interface SnapshotTarget {
  readonly dataDir: string;
  readonly redis?: string | undefined;
  readonly backupDir?: string | undefined;
}

/** The options that name a place. */
export interface PlaceFlags {
  readonly redis?: string;
  readonly redisPrefix?: string;
  readonly backupDir?: string;
}

/**
 * The place that is meant. What is typed comes before what environment and file say.
 *
 * @throws {UsageError} where two are typed.
 */
export function onePlace({ dataDir, options, isFlag }: Context<PlaceFlags>): SnapshotTarget {
  const { backupDir } = options;
  const redis = options.redis === undefined && !isFlag('redisPrefix') ? undefined : redisFor(options);
  if (redis === undefined || backupDir === undefined) return { dataDir, redis, backupDir };
  if (!isFlag('redis')) return { dataDir, backupDir };
  if (!isFlag('backupDir')) return { dataDir, redis };
  throw new UsageError('Give --redis or --backup-dir, not both.');
}

/** The store of a place. Its user closes it. */
export function storeOf({ dataDir, redis, backupDir }: SnapshotTarget): SnapshotStore {
  if (backupDir !== undefined) return new DirectorySnapshotStore(backupDir);
  return redis === undefined
    ? new DirectorySnapshotStore(join(dataDir, 'backups'))
    : new RedisSnapshotStore({ url: redis });
}

/** What is stored, newest first. */
export async function listSnapshots(place: SnapshotTarget): Promise<SnapshotInfo[]> {
  const manager = new BackupManager({ store: storeOf(place) });
  try {
    return await manager.list();
  } finally {
    await manager.close();
  }
}
