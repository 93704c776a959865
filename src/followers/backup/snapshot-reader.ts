import { ContextCacheError } from '../../core/errors.ts';
import {
  MANIFEST_PREFIX,
  type Manifest,
  openManifest,
  type PartRef,
  parseSnapshotId,
  SnapshotCorruptError,
  sha256,
} from './snapshot-format.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import type { Transforms } from './snapshot-transform.ts';

/** Returns the ids of all stored snapshots, newest first. */
export async function snapshotIds(store: SnapshotStore, signal?: AbortSignal): Promise<string[]> {
  const names = await store.list(MANIFEST_PREFIX, signal);
  return names.filter((name) => parseSnapshotId(name) !== undefined).reverse();
}

/**
 * Reads a snapshot's manifest.
 *
 * @throws {ContextCacheError} `NOT_FOUND`, and the errors of `openManifest` and of the store.
 */
export async function readManifest(
  store: SnapshotStore,
  id: string,
  transforms: Transforms,
  signal?: AbortSignal,
): Promise<Manifest> {
  const bytes = parseSnapshotId(id) === undefined ? undefined : await store.get(id, signal);
  if (bytes === undefined) {
    throw new ContextCacheError(
      'NOT_FOUND',
      `There is no snapshot ${id} (${store.description}). List them to see which there are.`,
    );
  }
  return await openManifest(id, bytes, transforms);
}

/**
 * Reads the stored bytes of a part and checks them.
 *
 * @throws {SnapshotCorruptError} if it is missing or damaged.
 */
export async function readPart(
  store: SnapshotStore,
  id: string,
  part: PartRef,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const bytes = await store.get(part.id, signal);
  if (bytes === undefined) throw new SnapshotCorruptError(id, part.id, 'is missing');
  if (bytes.length !== part.bytes || sha256(bytes) !== part.sha256) {
    throw new SnapshotCorruptError(id, part.id, 'is damaged: its checksum is wrong');
  }
  return bytes;
}

/** Returns `true` if the error means that the snapshot is damaged, not only that it cannot be read from here. */
export function isDamage(error: unknown): error is ContextCacheError {
  return error instanceof ContextCacheError && error.code === 'SNAPSHOT_CORRUPT';
}

/** Returns `true` if the error concerns the manifest of one snapshot, not the whole store. */
export function isUnreadable(error: unknown): error is ContextCacheError {
  return isDamage(error) || (error instanceof ContextCacheError && UNREADABLE.has(error.code));
}

const UNREADABLE: ReadonlySet<string> = new Set(['FORMAT_UNSUPPORTED', 'INVALID_OPTION', 'NOT_FOUND']);
