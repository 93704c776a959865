import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { ContextCacheError } from '../core/errors.ts';
import type { Remembered } from '../core/remembered.ts';
import { BackupLoader, type LoadedNamespace, type LoadedSnapshot } from '../followers/backup/backup-loader.ts';
import { DirectorySnapshotStore } from '../followers/backup/directory-snapshot-store.ts';
import { RedisSnapshotStore } from '../followers/backup/redis-snapshot-store.ts';
import type { StoredCluster } from '../followers/backup/snapshot-format.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import { Reporter } from '../monitoring/reporter.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { EngineOptions } from './options.ts';

/** The log and the state that a snapshot is restored into. */
export interface RestoreTarget {
  readonly log: UpdateLog;
  /** Stores the namespaces and starts the log after the snapshot's position, with what was remembered there. */
  readonly adopt: (
    namespaces: AsyncIterable<LoadedNamespace>,
    position: number,
    remembered: Remembered,
  ) => Promise<void>;
}

/**
 * Restores the newest complete snapshot into an empty log and state. Resolves with the id of the log that the snapshot
 * was taken from.
 *
 * @throws {ContextCacheError} `NOT_EMPTY`, `NOT_FOUND`, `SNAPSHOT_CORRUPT`, `UNREACHABLE`, `INVALID_OPTION`.
 */
export async function restore({ log, adopt }: RestoreTarget, options: EngineOptions): Promise<string> {
  if (log.head > 0) {
    throw new ContextCacheError('NOT_EMPTY', 'The data directory already holds a log. Restore into an empty one.');
  }
  return newestSnapshot(options, async (snapshot) => {
    await adopt(snapshot.namespaces(), snapshot.info.position, snapshot);
    return snapshot.info.log;
  });
}

/** Calls `use` with the newest complete snapshot of `restoreFrom`. Throws the same errors as {@link restore}. */
export async function newestSnapshot<Result>(
  options: EngineOptions,
  use: (snapshot: LoadedSnapshot) => Promise<Result>,
): Promise<Result> {
  const { restoreFrom, primaryCache, backup } = options;
  const reporter = new Reporter(options);
  if (primaryCache !== undefined) {
    throw new ContextCacheError(
      'INVALID_OPTION',
      'restoreFrom cannot fill a primaryCache. Leave out one of them, or write the values to the primary yourself.',
    );
  }
  const store = snapshotStore(restoreFrom);
  try {
    const loader = new BackupLoader({
      store,
      transforms: backup?.transforms,
      onDamaged: (_id, error) => {
        reporter.failure(error, { source: 'restore' });
      },
    });
    const snapshot = await loader.newest();
    if (snapshot === undefined)
      throw new ContextCacheError('NOT_FOUND', `There is no complete snapshot in ${store.description}.`);
    return await use(snapshot);
  } finally {
    if (store !== restoreFrom) await store.close();
  }
}

/**
 * Returns the newest whole snapshot of a cluster that `accepts` takes, by its log and the state of the cluster in it; `undefined`
 * if there is none. Damaged ones are reported and skipped, also if all are.
 */
export async function clusterSnapshot(
  store: SnapshotStore,
  options: EngineOptions,
  accepts: (log: string, cluster: StoredCluster) => boolean,
): Promise<LoadedSnapshot | undefined> {
  const reporter = new Reporter(options);
  const onDamaged = (_id: string, error: ContextCacheError) => reporter.failure(error, { source: 'restore' });
  const loader = new BackupLoader({ store, transforms: options.backup?.transforms, onDamaged });
  try {
    return await loader.newest(undefined, ({ log, cluster }) => cluster !== undefined && accepts(log, cluster));
  } catch (error) {
    if (error instanceof ContextCacheError && error.code === 'SNAPSHOT_CORRUPT') return undefined;
    throw error;
  }
}

/** Returns whether the path is a data directory. */
export async function isDataDirectory(path: string): Promise<boolean> {
  // A directory of format 1 has the second file. It is refused when it is opened.
  const there = ['log', 'CURRENT'].map((name) =>
    access(join(path, 'db', name)).then(
      () => true,
      () => false,
    ),
  );
  return (await Promise.all(there)).includes(true);
}

/** Returns the store of snapshots at a `redis://` URL or in a directory. A store is returned as it is. */
export function snapshotStore(given: SnapshotStore | string | undefined): SnapshotStore {
  if (given === undefined)
    throw new ContextCacheError('INVALID_OPTION', 'No snapshots are named. Give a redis:// URL or a directory.');
  if (typeof given !== 'string') return given;
  return /^rediss?:\/\//.test(given) ? new RedisSnapshotStore({ url: given }) : new DirectorySnapshotStore(given);
}
