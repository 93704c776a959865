import type { BigIntStats } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Makes the names of temporary files unique within the process. */
let count = 0;

/**
 * Replaces the content of a file, completely or not at all: a reader finds the old text or the new one, also after a
 * power cut. Only its owner can read and write the file. Creates missing directories. Returns the stats of the new file.
 */
export async function replaceFile(path: string, text: string): Promise<BigIntStats> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  count += 1;
  const temporary = join(directory, `.${basename(path)}.${process.pid}-${count}.tmp`);
  try {
    const stats = await writeNew(temporary, text);
    await rename(temporary, path);
    await syncDirectory(directory);
    return stats;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeNew(path: string, text: string): Promise<BigIntStats> {
  // A crashed process with the same id may have left one.
  await rm(path, { force: true });
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
    return await file.stat({ bigint: true });
  } finally {
    await file.close();
  }
}

/** Syncs the directory, which puts the rename on disk. Windows has no such call. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
