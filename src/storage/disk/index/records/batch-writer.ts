import type { LevelStorage, StorageWrite } from '../leveldb/level-storage.ts';

/** Approximate number of bytes in one batch. */
const BATCH_BYTES = 4 * 1024 * 1024;

/**
 * Writes in batches of bounded size, each synced. A batch that is not synced could be lost in a power cut although a
 * later one is kept.
 */
export class BatchWriter {
  readonly #storage: Pick<LevelStorage, 'batch'>;
  #writes: StorageWrite[] = [];
  #bytes = 0;

  constructor(storage: Pick<LevelStorage, 'batch'>) {
    this.#storage = storage;
  }

  async add(write: StorageWrite): Promise<void> {
    this.#writes.push(write);
    this.#bytes += 64 + (write.type === 'put' ? write.value.length : 0);
    if (this.#bytes >= BATCH_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    const writes = this.#writes;
    this.#writes = [];
    this.#bytes = 0;
    if (writes.length > 0) await this.#storage.batch(writes, true);
  }
}
