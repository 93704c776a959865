import { PART_PREFIX, partIds } from './snapshot-format.ts';
import { isUnreadable, readManifest } from './snapshot-reader.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import type { Transforms } from './snapshot-transform.ts';

/**
 * Removes all snapshots older than the newest `keep` whole ones. Removes manifests first, then the parts that no remaining
 * manifest refers to, so that the remaining snapshots are whole at any time. A snapshot that is not whole does not count
 * as kept and is removed when it has become old. While an unreadable manifest remains, no part is removed, because the
 * parts that it needs are unknown.
 *
 * @param ids All snapshots, newest first. No other snapshot may be under way.
 */
export async function prune(
  store: SnapshotStore,
  transforms: Transforms,
  ids: readonly string[],
  keep: number,
  signal?: AbortSignal,
): Promise<void> {
  const stored = await store.list(PART_PREFIX, signal);
  const there = new Set(stored);
  const needed = new Set<string>();
  const old: string[] = [];
  let whole = 0;
  let unreadable = 0;
  for (const id of ids) {
    if (whole === keep) {
      old.push(id);
      continue;
    }
    const parts = await partsOf(store, transforms, id, signal);
    if (parts === undefined) {
      unreadable += 1;
      continue;
    }
    for (const part of parts) needed.add(part);
    if (parts.every((part) => there.has(part))) whole += 1;
  }
  if (old.length > 0) await store.remove(old, signal);
  const spare = stored.filter((part) => !needed.has(part));
  if (unreadable === 0 && spare.length > 0) await store.remove(spare, signal);
}

/** Returns the parts of a snapshot; `undefined` if its manifest cannot be read. */
async function partsOf(
  store: SnapshotStore,
  transforms: Transforms,
  id: string,
  signal: AbortSignal | undefined,
): Promise<string[] | undefined> {
  try {
    return partIds(await readManifest(store, id, transforms, signal));
  } catch (error) {
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}
