import { type OpenStorage, openLevel, type StorageWrite } from '../../src/storage/disk/index/leveldb/level-storage.ts';

/** Outcome of a write: done, refused before it is done, or reported as failed after it was done. */
export type Fate = 'done' | 'lost' | 'unknown';

/**
 * Real storage whose writes fail on request. Like LevelDB, a handle takes no more writes after a failure.
 */
export class FaultStorage {
  /** Decides the outcome of each write. Default: done. */
  decide: (writes: readonly StorageWrite[]) => Fate = () => 'done';
  /** Awaited before a range is removed; if it throws, the removal fails or is done in part. */
  beforeClear: () => Promise<void> = async () => {};
  /** While true, opening fails. */
  refuseOpen = false;
  opened = 0;
  /** Awaited before the storage is opened, while no process has it open. */
  beforeOpen: (location: string) => Promise<void> = async () => {};
  /** Awaited before each entry is read. */
  beforeEntry: () => Promise<void> = async () => {};

  readonly open: OpenStorage = async (location) => {
    if (this.refuseOpen) throw new Error('injected: cannot open');
    await this.beforeOpen(location);
    const storage = await openLevel(location);
    const beforeEntry = () => this.beforeEntry();
    const beforeClear = () => this.beforeClear();
    this.opened += 1;
    let failed = false;
    return {
      ...storage,
      async *entries(range, snapshot) {
        for await (const entry of storage.entries(range, snapshot)) {
          await beforeEntry();
          yield entry;
        }
      },
      clear: async (range) => {
        if (failed) throw new Error('injected: I/O error');
        try {
          await beforeClear();
        } catch (error) {
          failed = true;
          throw error;
        }
        await storage.clear(range);
      },
      batch: async (writes, sync) => {
        const fate = failed ? 'lost' : this.decide(writes);
        if (fate !== 'lost') await storage.batch(writes, sync);
        if (fate === 'done') return;
        failed = true;
        throw new Error('injected: I/O error');
      },
    };
  };
}
