import type { BigIntStats } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Tells the temporary files of one process apart. */
let count = 0;

/**
 * Puts `text` in the place of the file, whole or not at all: whoever reads finds the old content or the new, also
 * after a power cut. The file can be read and written by its owner only. Missing directories are made. Returns what
 * identifies the new file.
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
  // Left by a crashed process of the same id, if at all.
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

/** The rename itself is on disk only then. Windows has no such call. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
