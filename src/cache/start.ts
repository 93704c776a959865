import type { NamespaceRegistry } from '../actors/namespace-registry.ts';
import { BackupLoader, type LoadedNamespace } from '../backup/backup-loader.ts';
import { DirectorySnapshotStore } from '../backup/directory-snapshot-store.ts';
import { RedisSnapshotStore } from '../backup/redis-snapshot-store.ts';
import type { SnapshotStore } from '../backup/snapshot-store.ts';
import { apply } from '../core/apply.ts';
import { ContextCacheError } from '../core/errors.ts';
import { NamespaceState } from '../core/namespace-state.ts';
import type { Storage } from './composition.ts';
import type { OpenOptions } from './options.ts';

/** Folds in what the log holds beyond the state table. */
export async function catchUp(registry: NamespaceRegistry, storage: Storage, keepValues: boolean): Promise<void> {
  const { log, source } = storage;
  if (source === undefined) return;
  for await (const updates of log.read(source.checkpoint + 1)) {
    for (const update of updates) {
      const { namespace } = update;
      const { state } = registry.find(namespace) ?? registry.put(namespace, new NamespaceState(namespace));
      apply(state, keepValues ? update : { ...update, value: undefined as unknown as null });
    }
  }
  // A namespace that was dropped in the meantime is none.
  for (const record of [...registry.records()]) if (record.state.version === 0) registry.release(record);
}

/**
 * Begins empty storage with the newest whole snapshot. Gives the namespaces where the storage itself keeps none.
 *
 * @throws {ContextCacheError} `NOT_EMPTY`, `NOT_FOUND`, `SNAPSHOT_CORRUPT`, `UNREACHABLE`.
 */
export async function restore(storage: Storage, options: OpenOptions): Promise<NamespaceState[]> {
  const { log } = storage;
  const { restoreFrom, onError } = options;
  const store = snapshotStore(restoreFrom);
  try {
    if (log.head > 0) {
      throw new ContextCacheError('NOT_EMPTY', 'The data directory already holds a log. Restore into an empty one.');
    }
    const loader = new BackupLoader({
      store,
      transforms: options.backup?.transforms,
      onDamaged: (_id, error) => {
        if (onError === undefined) process.emitWarning(error.message, 'ContextCacheWarning', error.code);
        else onError(error, { source: 'restore' });
      },
    });
    const snapshot = await loader.newest();
    if (snapshot === undefined)
      throw new ContextCacheError('NOT_FOUND', `There is no whole snapshot in ${store.description}.`);
    const { position } = snapshot.info;
    if (storage.adopt !== undefined) {
      await storage.adopt(snapshot.namespaces(), position);
      return [];
    }
    const states: NamespaceState[] = [];
    for await (const namespace of snapshot.namespaces()) states.push(stateOf(namespace));
    await log.beginAfter(position);
    return states;
  } finally {
    if (store !== restoreFrom) await store.close();
  }
}

/** A `redis://` URL or a directory as a store of snapshots. */
export function snapshotStore(place: SnapshotStore | string | undefined): SnapshotStore {
  if (place === undefined)
    throw new ContextCacheError('INVALID_OPTION', 'Name a place of snapshots: a redis:// URL or a directory.');
  if (typeof place !== 'string') return place;
  return /^rediss?:\/\//.test(place) ? new RedisSnapshotStore({ url: place }) : new DirectorySnapshotStore(place);
}

function stateOf({ name, version, position, entries }: LoadedNamespace): NamespaceState {
  const state = new NamespaceState(name);
  for (const [key, entry] of entries) state.put(key, entry);
  state.version = version;
  state.position = position;
  return state;
}
