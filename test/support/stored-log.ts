import { appendFile, open as openFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createUpdate } from '../../src/core/update.ts';
import { nodeFiles } from '../../src/storage/disk/files.ts';
import { DiskLog } from '../../src/storage/disk/log/disk-log.ts';
import type { Frame } from '../../src/storage/disk/log/frame.ts';
import { isDamage, walkFrames } from '../../src/storage/disk/log/frame-walk.ts';
import { tempDir } from './temp-dir.ts';

/** Writes a log of several files with `count` updates each, one update in a frame. Resolves with the data directory. */
export async function logOfFiles(files: number, count: number): Promise<string> {
  const dataDir = await tempDir('log');
  const versions = new Map<string, number>();
  for (let file = 0; file < files; file += 1) {
    const log = await DiskLog.open({ dataDir, sync: false });
    for (let i = 0; i < count; i += 1) {
      const namespace = `n${log.head % 2}`;
      const version = (versions.get(namespace) ?? 0) + 1;
      versions.set(namespace, version);
      const value = { at: log.head, text: 'x'.repeat(40) };
      log.append([
        createUpdate({ ...{ namespace, version, key: `k${i % 3}`, value }, operation: 'set', bytes: 50, at: 1 }),
      ]);
      await log.flush();
    }
    await log.close();
    // The next opening takes this for a write that was cut off, and starts a new file.
    if (file < files - 1) await appendFile(join(dataDir, 'db', 'log', (await logFiles(dataDir)).at(-1) ?? ''), 'torn');
  }
  return dataDir;
}

/** Resolves with the names of the files of a log, in order. */
export async function logFiles(dataDir: string): Promise<string[]> {
  return (await readdir(join(dataDir, 'db', 'log'))).sort();
}

/** Returns the whole frames of a file. */
export function framesOf(file: string): Frame[] {
  return [...walkFrames(nodeFiles, file)].filter((item) => !isDamage(item)) as Frame[];
}

/** Flips bits of one byte of a file. */
export async function flipAt(file: string, at: number, bits = 4): Promise<void> {
  const handle = await openFile(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ bits;
  await handle.write(byte, 0, 1, at);
  await handle.close();
}
