import { join } from 'node:path';
import {
  BackupManager,
  DirectorySnapshotStore,
  RedisSnapshotStore,
  type SnapshotInfo,
  type SnapshotStore,
} from '../index.ts';

/** Where snapshots are kept: in a Redis, in a directory, or else beside the data. */
export interface SnapshotPlace {
  readonly dataDir: string;
  readonly redis?: string | undefined;
  readonly backupDir?: string | undefined;
}

/** The store of a place. Its user closes it. */
export function storeOf({ dataDir, redis, backupDir }: SnapshotPlace): SnapshotStore {
  if (backupDir !== undefined) return new DirectorySnapshotStore(backupDir);
  return redis === undefined
    ? new DirectorySnapshotStore(join(dataDir, 'backups'))
    : new RedisSnapshotStore({ url: redis });
}

/** What is stored, newest first. */
export async function listSnapshots(place: SnapshotPlace): Promise<SnapshotInfo[]> {
  const manager = new BackupManager({ store: storeOf(place) });
  try {
    return await manager.list();
  } finally {
    await manager.close();
  }
}
