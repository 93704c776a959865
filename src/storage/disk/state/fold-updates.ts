import type { TimeSlice } from '../../../core/time-slice.ts';
import type { Update } from '../../../core/update.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import type { StoredNamespace } from '../records/state-records.ts';
import type { NamespaceFold } from './namespace-fold.ts';

/** Returns the metadata of a namespace that does not exist yet. */
export function emptySummary(name: string): StoredNamespace {
  return { name, version: 0, position: 0, count: 0, bytes: 0, pages: 1, nextExpiryAt: null };
}

/** Groups updates by namespace and keeps their order. */
export function groupByNamespace(updates: readonly Update[]): Map<string, Update[]> {
  const groups = new Map<string, Update[]>();
  for (const update of updates) {
    const group = groups.get(update.namespace);
    if (group === undefined) groups.set(update.namespace, [update]);
    else group.push(update);
  }
  return groups;
}

/** Finishes the folds and returns their writes. */
export async function finishFolds(folds: readonly NamespaceFold[], slice: TimeSlice): Promise<StorageWrite[]> {
  const writes: StorageWrite[] = [];
  for (const fold of folds) {
    fold.finish();
    for (const write of fold.writes()) {
      writes.push(write);
      if (slice.over) await slice.pause();
    }
  }
  return writes;
}
