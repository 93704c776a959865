import { join } from 'node:path';
import { DirectorySnapshotStore, RedisSnapshotStore, type SnapshotInfo, type SnapshotStore } from '../backup.ts';
import { BackupManager } from '../index.ts';
import { redisFor } from './config/options.ts';
import type { Context } from './context.ts';
import { UsageError } from './terminal/failure.ts';

/** The store of snapshots that a command uses: a Redis, a directory, or by default `backups` in the data directory. */
export interface SnapshotTarget {
  readonly dataDir: string;
  readonly redis?: string | undefined;
  readonly backupDir?: string | undefined;
}

/** The options that name a store. */
export interface StoreFlags {
  readonly redis?: string;
  readonly redisPrefix?: string;
  readonly backupDir?: string;
}

/**
 * Returns the one store that the options name. Flags take precedence over environment and file.
 *
 * @throws {UsageError} if flags name two.
 */
export function oneStore({ dataDir, options, isFlag }: Context<StoreFlags>): SnapshotTarget {
  const { backupDir } = options;
  const redis = options.redis === undefined && !isFlag('redisPrefix') ? undefined : redisFor(options);
  if (redis === undefined || backupDir === undefined) return { dataDir, redis, backupDir };
  if (!isFlag('redis')) return { dataDir, backupDir };
  if (!isFlag('backupDir')) return { dataDir, redis };
  throw new UsageError('Give --redis or --backup-dir, not both.');
}

/** Creates the store. The caller closes it. */
export function storeOf({ dataDir, redis, backupDir }: SnapshotTarget): SnapshotStore {
  if (backupDir !== undefined) return new DirectorySnapshotStore(backupDir);
  return redis === undefined
    ? new DirectorySnapshotStore(join(dataDir, 'backups'))
    : new RedisSnapshotStore({ url: redis });
}

/** Lists the stored snapshots, newest first. */
export async function listSnapshots(target: SnapshotTarget): Promise<SnapshotInfo[]> {
  const manager = new BackupManager({ store: storeOf(target) });
  try {
    return await manager.list();
  } finally {
    await manager.close();
  }
}
