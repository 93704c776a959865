import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { ContextCacheError } from '../core/errors.ts';
import { NamespaceState } from '../core/namespace-state.ts';
import { BackupLoader, type LoadedNamespace, type LoadedSnapshot } from '../followers/backup/backup-loader.ts';
import { DirectorySnapshotStore } from '../followers/backup/directory-snapshot-store.ts';
import { RedisSnapshotStore } from '../followers/backup/redis-snapshot-store.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { EngineOptions } from './options.ts';

/** Where a restored snapshot goes. */
export interface RestoreTarget {
  readonly log: UpdateLog;
  /** Takes the namespaces; the log begins after `position` then. */
  readonly adopt: (namespaces: AsyncIterable<LoadedNamespace>, position: number) => Promise<void>;
}

/**
 * Begins an empty log and state with the newest whole snapshot. Resolves with the id of the log that it was taken of.
 *
 * @throws {ContextCacheError} `NOT_EMPTY`, `NOT_FOUND`, `SNAPSHOT_CORRUPT`, `UNREACHABLE`, `INVALID_OPTION`.
 */
export async function restore({ log, adopt }: RestoreTarget, options: EngineOptions): Promise<string> {
  if (log.head > 0) {
    throw new ContextCacheError('NOT_EMPTY', 'The data directory already holds a log. Restore into an empty one.');
  }
  return newestSnapshot(options, async (snapshot) => {
    await adopt(snapshot.namespaces(), snapshot.info.position);
    return snapshot.info.log;
  });
}

/** Hands over the newest whole snapshot of `restoreFrom`. Throws as {@link restore}. */
export async function newestSnapshot<Result>(
  { restoreFrom, primaryCache, backup, onError }: EngineOptions,
  use: (snapshot: LoadedSnapshot) => Promise<Result>,
): Promise<Result> {
  if (primaryCache !== undefined) {
    throw new ContextCacheError(
      'INVALID_OPTION',
      'A snapshot can not be restored into a primary of your own. Write its values there yourself.',
    );
  }
  const store = snapshotStore(restoreFrom);
  try {
    const loader = new BackupLoader({
      store,
      transforms: backup?.transforms,
      onDamaged: (_id, error) => {
        if (onError === undefined) process.emitWarning(error.message, 'ContextCacheWarning', error.code);
        else onError(error, { source: 'restore' });
      },
    });
    const snapshot = await loader.newest();
    if (snapshot === undefined)
      throw new ContextCacheError('NOT_FOUND', `There is no whole snapshot in ${store.description}.`);
    return await use(snapshot);
  } finally {
    if (store !== restoreFrom) await store.close();
  }
}

/** Whether the path is that of a data directory. */
export function isDataDirectory(path: string): Promise<boolean> {
  return access(join(path, 'db', 'CURRENT')).then(
    () => true,
    () => false,
  );
}

/** A `redis://` URL or a directory as a store of snapshots. */
export function snapshotStore(place: SnapshotStore | string | undefined): SnapshotStore {
  if (place === undefined)
    throw new ContextCacheError('INVALID_OPTION', 'Name a place of snapshots: a redis:// URL or a directory.');
  if (typeof place !== 'string') return place;
  return /^rediss?:\/\//.test(place) ? new RedisSnapshotStore({ url: place }) : new DirectorySnapshotStore(place);
}

/** A namespace of a snapshot as state in memory. */
export function stateOf({ name, version, position, entries }: LoadedNamespace): NamespaceState {
  const state = new NamespaceState(name);
  for (const [key, entry] of entries) state.put(key, entry);
  state.version = version;
  state.position = position;
  return state;
}
