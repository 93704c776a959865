import type { OpenOptions } from './cache/options.ts';
import { isDataDirectory } from './cache/restore.ts';
import { openStorage, type Storage } from './cache/storage.ts';

/** What a cache of these options stands on. */
export async function storageOf(options: OpenOptions): Promise<Storage> {
  const { restoreFrom } = options;
  if (typeof restoreFrom !== 'string' || !(await isDataDirectory(restoreFrom))) return openStorage(options);
  const { restoredFromDirectory } = await import('./replay/replayed-storage.ts');
  return restoredFromDirectory(options, restoreFrom);
}
