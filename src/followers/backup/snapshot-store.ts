import type { Owner } from '../../backends/owner.ts';
import { ContextCacheError } from '../../core/errors.ts';

/**
 * A store of snapshots: named blobs, nothing more. A name has 1 to 128 characters of `[A-Za-z0-9._-]`. Every method
 * rejects on failure, and with the signal's reason if it aborts. `snapshotStoreSuite` in `agent-context-cache/testing`
 * tests an implementation.
 */
export interface SnapshotStore {
  /** Kind and location of the store, for messages; without secrets. */
  readonly description: string;
  /** Stores a blob completely or not at all. Replaces a blob of the same name. */
  put(name: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Returns the blob; `undefined` if it is missing. */
  get(name: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** Returns for each name if the blob exists. */
  has(names: readonly string[], signal?: AbortSignal): Promise<boolean[]>;
  /** Returns all names that begin with `prefix`, sorted. */
  list(prefix: string, signal?: AbortSignal): Promise<string[]>;
  /** Removes blobs. A missing one is not an error. */
  remove(names: readonly string[], signal?: AbortSignal): Promise<void>;
  /**
   * Makes the store that of one cache. Called before each snapshot, so before anything is written or removed. Default:
   * every cache may store here.
   *
   * @throws {OwnedByAnotherError} if the store belongs to another cache.
   */
  claim?(owner: Owner, signal?: AbortSignal): Promise<void>;
  /** Releases a claim, so that another cache need not wait until it ends. The store can still be used. */
  releaseClaim?(): Promise<void>;
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
