import type { Files } from '../../../src/storage/disk/files.ts';
import type { OpenStorage } from '../../../src/storage/disk/index/leveldb/level-storage.ts';
import type { Random } from '../support.ts';
import { type FilesSabotage, SimFileSystem } from './sim-files.ts';
import { SimStorage, type StorageSabotage } from './sim-storage.ts';
import type { Timeline } from './timeline.ts';
import { type Living, Trouble } from './trouble.ts';

/** Permanent errors of a disk, for controls. */
export interface DiskSabotage {
  readonly files?: FilesSabotage | undefined;
  readonly storage?: StorageSabotage | undefined;
}

/** The disk under a data directory: the files of the log, and the storage of the index. It outlives processes. */
export class SimDisk {
  readonly trouble: Trouble;
  readonly files: SimFileSystem;
  readonly storage: SimStorage;

  constructor(timeline: Timeline, random: Random, sabotage: DiskSabotage = {}) {
    this.trouble = new Trouble(timeline, random);
    this.files = new SimFileSystem(this.trouble, sabotage.files);
    this.storage = new SimStorage(this.trouble, sabotage.storage);
    this.files.hidesReserve = true;
    this.files.onRemoved = (path) => {
      if (path.endsWith('/db/index')) this.storage.remove();
    };
  }

  /** Returns what a process opens its directory with. `reached`: called when it does. */
  openFor(process: Living, reached: () => void): { files: Files; openStorage: OpenStorage } {
    return { files: this.files.filesFor(process, reached), openStorage: this.storage.openFor(process) };
  }

  /** Ends the process. Its writes are still in the machine's memory. */
  processDied(): void {
    this.storage.processDied();
  }

  /** Cuts the power: what is not synced may be lost. */
  powerCut(): void {
    this.files.powerCut();
    this.storage.powerCut();
  }
}
