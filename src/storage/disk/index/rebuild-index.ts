import type { Clock } from '../../../core/clock.ts';
import type { Files } from '../files.ts';
import type { LogFileNames } from '../log/file-log.ts';
import { IndexFiles } from './index-files.ts';
import { openLevel } from './leveldb/level-storage.ts';
import { LocalHost } from './local-host.ts';

/** The log that an index is rebuilt from. */
export interface WholeLog {
  readonly log: string;
  readonly names: LogFileNames;
  /** Its last position. */
  readonly position: number;
  /** `false` if an external primary keeps the values. */
  readonly keepsValues: boolean;
}

/**
 * Removes the index in a folder and rebuilds it from base and log, which it does not change. The caller holds the lock of
 * the data directory.
 */
export async function rebuildIndex(files: Files, path: string, whole: WholeLog, clock: Clock): Promise<void> {
  const { log, names, position, keepsValues } = whole;
  const own = new IndexFiles(files, path);
  const { location } = own;
  await own.remove();
  await own.prepare();
  const take = async () => {};
  const host = new LocalHost({ files, path, log, location, openStorage: openLevel, keepsValues, clock, take });
  try {
    await host.open();
    await host.run({ type: 'fold', through: position }, names);
  } finally {
    await host.close();
  }
  await own.leave();
}
