import { ContextCacheError, toError } from '../../../core/errors.ts';
import type { LevelStorage, StorageRange, StorageSnapshot } from './level-storage.ts';

/** What a handle that is gone says of itself, or of what was made with it. */
const GONE = /^LEVEL_(DATABASE|ITERATOR|SNAPSHOT)_NOT_OPEN$/;

/**
 * All records as they were at one moment, for one who reads for long. What it throws is about the record that was read,
 * but for `LOG_UNAVAILABLE`: the storage has been closed or opened again meanwhile.
 */
export class PinnedStorage {
  readonly #storage: LevelStorage;
  readonly #path: string;
  readonly #snapshot: StorageSnapshot;

  constructor(storage: LevelStorage, path: string) {
    this.#storage = storage;
    this.#path = path;
    this.#snapshot = storage.snapshot();
  }

  getSync(key: string): Uint8Array | undefined {
    try {
      return this.#storage.getSync(key, this.#snapshot);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    try {
      return await this.#storage.getMany(keys, this.#snapshot);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Every record of a range, in order. */
  async *entries(range: StorageRange): AsyncGenerator<readonly [string, Uint8Array]> {
    try {
      yield* this.#storage.entries(range, this.#snapshot);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Twice is fine, also once the storage is gone. */
  async close(): Promise<void> {
    await this.#snapshot.close().catch(() => {});
  }

  #explain(thrown: unknown): Error {
    const error = toError(thrown);
    const codes = [error, error.cause].map((each) => (each as { code?: unknown } | undefined)?.code);
    if (!codes.some((code) => typeof code === 'string' && GONE.test(code))) return error;
    const message = `${this.#path} was closed or opened again while it was read. Try again.`;
    return new ContextCacheError('LOG_UNAVAILABLE', message, { cause: error });
  }
}
