import type { EngineOptions } from '../engine/options.ts';
import { isDataDirectory } from '../engine/restore.ts';
import { openStorage, type Storage } from '../engine/storage.ts';

/** Opens the storage for the options of a cache. */
export async function storageOf(options: EngineOptions): Promise<Storage> {
  const { restoreFrom } = options;
  if (typeof restoreFrom !== 'string' || !(await isDataDirectory(restoreFrom))) return openStorage(options);
  const { restoredFromDirectory } = await import('../replay/replayed-storage.ts');
  return restoredFromDirectory(options, restoreFrom);
}
