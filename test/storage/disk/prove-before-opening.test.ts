import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openUnproven } from '../../../src/storage/disk/leveldb/level-storage.ts';
import { LevelLog } from '../../../src/storage/disk/log/level-log.ts';
import { all, someSets } from '../../support/log.ts';
import { tempDir } from '../../support/temp-dir.ts';

const open = (dataDir: string) => LevelLog.open({ dataDir, sync: false });

/** A log of ten groups. */
async function written(): Promise<string> {
  const dataDir = await tempDir('prove');
  const log = await open(dataDir);
  for (let i = 0; i < 10; i += 1) {
    log.append(someSets(3, 1 + 3 * i));
    await log.flush();
  }
  await log.close();
  return dataDir;
}

async function fileLike(dataDir: string, pattern: RegExp): Promise<string> {
  const files = (await readdir(join(dataDir, 'db'))).filter((file) => pattern.test(file)).sort();
  return join(dataDir, 'db', files.at(-1) as string);
}

async function damage(path: string, part: number): Promise<void> {
  const bytes = await readFile(path);
  const at = Math.floor(bytes.length * part);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

describe('the check of a database before LevelDB opens it', () => {
  it('refuses a damaged group in the middle of the log, which LevelDB would drop silently', async () => {
    const dataDir = await written();
    const path = await fileLike(dataDir, /\.log$/);
    await damage(path, 0.5);
    const bytes = await readFile(path);
    const told = { code: 'LOG_CORRUPT', message: expect.stringMatching(/\.log at byte \d+: a record does not match/) };
    await expect(open(dataDir)).rejects.toMatchObject(told);
    await expect(open(dataDir)).rejects.toMatchObject({ message: expect.stringContaining(path) });
    expect((await readFile(path)).equals(bytes)).toBe(true);
    // The control: LevelDB itself opens it, and has lost everything after the damage.
    const storage = await openUnproven(join(dataDir, 'db'), false);
    const keys: string[] = [];
    for await (const [key] of storage.entries({ gte: '!log!', lt: '!log"' })) keys.push(key);
    expect(keys.length).toBeLessThan(10);
    await storage.close();
  });

  it('passes with a group that was being written when the process stopped', async () => {
    const dataDir = await written();
    const path = await fileLike(dataDir, /\.log$/);
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length - 5));
    const log = await open(dataDir);
    expect((await all(log.read(1))).length).toBe(27);
    await log.close();
  });

  it('refuses a database without its log', async () => {
    const dataDir = await written();
    const path = await fileLike(dataDir, /\.log$/);
    await rm(path);
    const told = { code: 'LOG_CORRUPT', message: expect.stringContaining(`${path} at byte 0: is missing`) };
    await expect(open(dataDir)).rejects.toMatchObject(told);
  });

  it('reports the lock first if another process holds it', async () => {
    const dataDir = await written();
    const log = await open(dataDir);
    await damage(await fileLike(dataDir, /^MANIFEST/), 0.1);
    await expect(open(dataDir)).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
    await log.close();
    await expect(open(dataDir)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  });
});

describe('the storage', () => {
  it('accepts nothing after a failed write, not even the write right after it', async () => {
    const storage = await openUnproven(await tempDir('storage'), true);
    const failing = storage.batch(
      [{ type: 'put', key: undefined as unknown as string, value: Buffer.from('a') }],
      true,
    );
    const behind = storage.batch([{ type: 'put', key: 'b', value: Buffer.from('b') }], true);
    await expect(failing).rejects.toThrow();
    await expect(behind).rejects.toThrow();
    expect(storage.getSync('b')).toBeUndefined();
    await storage.close();
  });

  it('keeps its files private to their owner, including files from before', async () => {
    const location = await tempDir('storage');
    const modes = async () => {
      const found = new Set<number>();
      for (const file of await readdir(location)) found.add((await stat(join(location, file))).mode & 0o777);
      return [...found];
    };
    for (const create of [true, false]) {
      const storage = await openUnproven(location, create);
      expect(await modes()).toEqual([0o600]);
      for (let i = 0; i < 12; i += 1) {
        await storage.batch([{ type: 'put', key: `${i}`, value: Buffer.alloc(1024 * 1024, i) }], false);
      }
      await storage.close();
      expect(await modes()).toEqual([0o600]);
      for (const file of await readdir(location)) await chmod(join(location, file), 0o644);
    }
  });
});
