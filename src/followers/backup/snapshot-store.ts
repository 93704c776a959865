import type { Owner } from '../../backends/owner.ts';
import { ContextCacheError } from '../../core/errors.ts';

/**
 * Where snapshots are kept: named blobs, nothing more. Names consist of `[A-Za-z0-9._-]`, at most 128 characters.
 */
export interface SnapshotStore {
  /** For messages: what and where, without secrets. */
  readonly description: string;
  /** Stores a blob whole or not at all, replacing one of the same name. */
  put(name: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** The blob; `undefined` where there is none. */
  get(name: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** Which of these names are there. */
  has(names: readonly string[], signal?: AbortSignal): Promise<boolean[]>;
  /** All names that begin with `prefix`, sorted. */
  list(prefix: string, signal?: AbortSignal): Promise<string[]>;
  /** Removes blobs; a missing one is fine. */
  remove(names: readonly string[], signal?: AbortSignal): Promise<void>;
  /**
   * Makes the store that of one cache. Called before each snapshot, so before anything is written or removed. Default:
   * every cache may store here.
   *
   * @throws {OwnedByAnotherError} if the store belongs to another cache.
   */
  claim?(owner: Owner, signal?: AbortSignal): Promise<void>;
  /** Releases a claim and connections. Twice is fine. */
  close(): Promise<void>;
}

/**
 * Checks the name of a blob in a snapshot store: 1 to 128 characters of `[A-Za-z0-9._-]`.
 *
 * @throws {ContextCacheError} `INVALID_NAME`.
 */
export function checkBlobName(name: string): void {
  if (/^[A-Za-z0-9._-]{1,128}$/.test(name)) return;
  const shown = JSON.stringify(name.slice(0, 40));
  throw new ContextCacheError(
    'INVALID_NAME',
    `A blob's name has 1 to 128 characters of A-Z a-z 0-9 . _ -; ${shown} has not.`,
  );
}
