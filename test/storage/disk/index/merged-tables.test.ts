import { randomBytes } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openLevel } from '../../../../src/storage/disk/index/leveldb/level-storage.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const KEYS = 64;
const VALUE_BYTES = 16 * 1024;

async function tableBytes(location: string): Promise<number> {
  const tables = (await readdir(location)).filter((name) => name.endsWith('.ldb'));
  const sizes = await Promise.all(tables.map(async (name) => (await stat(join(location, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

it('keeps no replaced records in the tables after a clean end, if much was written', async () => {
  const location = join(await tempDir('merged'), 'index');
  const storage = await openLevel(location);
  let last = Buffer.alloc(0);
  for (let round = 0; round < 20; round += 1) {
    last = randomBytes(VALUE_BYTES);
    const writes = Array.from({ length: KEYS }, (_, key) => ({ type: 'put', key: `!${key}`, value: last }) as const);
    await storage.batch(writes, false);
  }
  await storage.close();
  expect(await tableBytes(location)).toBeLessThan(1.5 * KEYS * VALUE_BYTES);

  const again = await openLevel(location);
  expect(again.getSync('!7')).toEqual(last);
  await again.close();
});
