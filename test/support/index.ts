import { type Clock, systemClock } from '../../src/core/clock.ts';
import type { PendingUpdate } from '../../src/core/update.ts';
import { type Files, nodeFiles } from '../../src/storage/disk/files.ts';
import { DiskIndex, type IndexEvent } from '../../src/storage/disk/index/disk-index.ts';
import { type OpenStorage, openLevel } from '../../src/storage/disk/index/leveldb/level-storage.ts';
import type { StateTable } from '../../src/storage/disk/index/state/state-table.ts';
import { DiskLog } from '../../src/storage/disk/log/disk-log.ts';
import { tempDir } from './temp-dir.ts';

/** Settings of {@link openIndex}. */
export interface IndexSettings {
  readonly clock?: Clock;
  readonly keepsValues?: boolean;
  readonly openStorage?: OpenStorage;
  readonly files?: Files;
  /** `true` starts a worker thread. Default false. */
  readonly worker?: boolean;
}

/** A log and its index. */
export interface OpenedIndex {
  readonly dataDir: string;
  readonly log: DiskLog;
  readonly index: DiskIndex;
  readonly table: StateTable;
  /** What has happened to the index. */
  readonly events: IndexEvent[];
  /** Appends to the log, and brings the index up to date. */
  take(updates: readonly PendingUpdate[]): Promise<void>;
  close(): Promise<void>;
}

/** Opens a data directory, by default a new one. */
export async function openIndex(dataDir?: string, settings: IndexSettings = {}): Promise<OpenedIndex> {
  const path = dataDir ?? (await tempDir('index'));
  const {
    clock = systemClock,
    keepsValues = true,
    openStorage = openLevel,
    files = nodeFiles,
    worker = false,
  } = settings;
  const events: IndexEvent[] = [];
  const log = await DiskLog.open({ dataDir: path, sync: false, clock, files });
  const index = await DiskIndex.open({
    ...{ log, files, clock, keepsValues, openStorage, inThread: !worker },
    onEvent: (event) => events.push(event),
  }).catch(async (error) => {
    await log.close();
    throw error;
  });
  return {
    ...{ dataDir: path, log, index, table: index.table, events },
    take: async (updates) => {
      log.append(updates);
      await log.flush();
      await index.fold(log.committed);
    },
    close: async () => {
      await index.close();
      await log.close();
    },
  };
}
