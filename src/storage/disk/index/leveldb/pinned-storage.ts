import { ContextCacheError, toError } from '../../../../core/errors.ts';
import type { LevelStorage, StorageRange, StorageSnapshot } from './level-storage.ts';

/** Error codes of a handle that was closed, and of what was made with it. */
const GONE = /^LEVEL_(DATABASE|ITERATOR|SNAPSHOT)_NOT_OPEN$/;

/**
 * All records as they were at one time, for a long read. Errors concern the record that was read, except for
 * `LOG_UNAVAILABLE`: the storage was closed or reopened in the meantime.
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

  /** Iterates over every record of a range, in order. */
  async *entries(range: StorageRange): AsyncGenerator<readonly [string, Uint8Array]> {
    try {
      yield* this.#storage.entries(range, this.#snapshot);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** May be called twice, and after the storage was closed. */
  async close(): Promise<void> {
    await this.#snapshot.close().catch(() => {});
  }

  #explain(thrown: unknown): Error {
    const error = toError(thrown);
    const codes = [error, error.cause].map((each) => (each as { code?: unknown } | undefined)?.code);
    if (!codes.some((code) => typeof code === 'string' && GONE.test(code))) return error;
    const message = `${this.#path} was closed or reopened while it was being read. Try again.`;
    return new ContextCacheError('LOG_UNAVAILABLE', message, { cause: error });
  }
}
