import { ContextCacheError } from '../../core/errors.ts';
import { checkBlobName, type SnapshotStore } from './snapshot-store.ts';

/**
 * Keeps snapshots in the memory of this process, for tests; the implementation to read first. The snapshots are lost with
 * the object. After {@link MemorySnapshotStore.close} every call rejects with `CLOSED`.
 *
 * @example
 * ```ts
 * const manager = new BackupManager({ store: new MemorySnapshotStore() });
 * ```
 */
export class MemorySnapshotStore implements SnapshotStore {
  readonly description: string = 'snapshots in memory';
  readonly #blobs = new Map<string, Uint8Array>();
  #closed = false;

  /** Stores a copy of the bytes. */
  async put(name: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    this.#check([name], signal);
    this.#blobs.set(name, bytes.slice());
  }

  /** Returns a copy of the blob. */
  async get(name: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    this.#check([name], signal);
    return this.#blobs.get(name)?.slice();
  }

  async has(names: readonly string[], signal?: AbortSignal): Promise<boolean[]> {
    this.#check(names, signal);
    return names.map((name) => this.#blobs.has(name));
  }

  async list(prefix: string, signal?: AbortSignal): Promise<string[]> {
    this.#check([], signal);
    return [...this.#blobs.keys()].filter((name) => name.startsWith(prefix)).sort();
  }

  async remove(names: readonly string[], signal?: AbortSignal): Promise<void> {
    this.#check(names, signal);
    for (const name of names) this.#blobs.delete(name);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(names: readonly string[], signal: AbortSignal | undefined): void {
    if (this.#closed) throw new ContextCacheError('CLOSED', 'The snapshot store is closed. Make a new one.');
    signal?.throwIfAborted();
    for (const name of names) checkBlobName(name);
  }
}
