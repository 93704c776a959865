import { PART_PREFIX, partIds } from './snapshot-format.ts';
import { isUnreadable, readManifest } from './snapshot-reader.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import type { Transforms } from './snapshot-transform.ts';

/**
 * Removes all snapshots older than the newest `keep` whole ones: manifests first, then the parts that none of the
 * remaining manifests refers to, so that whatever remains is whole at every moment. One that is not whole does not
 * count as kept and goes when it has become old. While a manifest remains that cannot be read, no part is removed:
 * nobody knows which it needs.
 *
 * @param ids All snapshots, newest first. No other may be in the writing.
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

/** `undefined` where the manifest cannot be read. */
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
