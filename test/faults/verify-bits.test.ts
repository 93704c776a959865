import { cp, open as openFile, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { verifyDirectory } from '../../src/index.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';
import { fill, open, told } from '../support/verify.ts';
import { faultSeed, Random, times } from './support.ts';

/** Largest size of a follower's checkpoint, which is the last write before the end. */
const LAST_RECORD = 128;

let whole = '';
/** Files that hold data, by their path in the directory, with their sizes. */
let files: readonly (readonly [path: string, size: number])[] = [];

beforeAll(async () => {
  whole = await tempDir('bits');
  for (let round = 0; round < 2; round += 1) {
    const cache = await open({ dataDir: whole, durability: 'memory' });
    await fill(cache);
    await cache.backup();
    await cache.shutdown({ timeoutMs: 10_000 });
  }
  const found: (readonly [string, number])[] = [];
  for (const path of (await readdir(whole, { recursive: true })).sort()) {
    const of = await stat(join(whole, path));
    if (of.isFile() && of.size > 0 && !/(LOG(\.old)?|LOCK)$/.test(path)) found.push([path, of.size]);
  }
  files = found;
}, 60_000);

async function flip(file: string, at: number, bit: number): Promise<void> {
  const handle = await openFile(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ (1 << bit);
  await handle.write(byte, 0, 1, at);
  await handle.close();
}

describe('verify of a directory', () => {
  it('finds nothing without a flipped bit', async () => {
    expect(told((await verifyDirectory(whole)).problems)).toEqual([]);
  });

  it('finds a flipped bit anywhere, and names the file', async () => {
    const { position, digest } = await verifyDirectory(whole);
    const random = new Random(faultSeed());
    for (let i = 0; i < times(30, 1_000); i += 1) {
      const [path, size] = random.pick(files);
      const [at, bit] = [random.below(size), random.below(8)];
      const dataDir = await tempDir('flipped');
      await cp(whole, dataDir, { recursive: true });
      await flip(join(dataDir, path), at, bit);
      const report = await verifyDirectory(dataDir);
      const what = `seed ${faultSeed()}, flip ${i}: bit ${bit} of byte ${at} of ${size} in ${path}`;
      if (report.ok && path.endsWith('.log') && at >= size - LAST_RECORD) {
        // Looks like a write that a power cut has cut off. Nothing that counts is lost then.
        expect(report, what).toMatchObject({ position, digest });
      } else {
        expect(report.ok, what).toBe(false);
        expect(told(report.problems).join('\n'), what).toContain(basename(path, '.blob'));
      }
      removeTempDir(dataDir);
    }
  }, 600_000);
});
