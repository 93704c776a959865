import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { openLevel } from '../../../../src/storage/disk/index/leveldb/level-storage.ts';
import { fcOptions } from '../../../support/property.ts';
import { tempDir } from '../../../support/temp-dir.ts';

it('finds a key synchronously, whatever was looked up before and however many bytes its characters have', async () => {
  const character = fc.constantFrom('a', 'é', '日', '😀');
  const key = fc
    .array(character, { minLength: 1, maxLength: 120, size: 'max' })
    .map((characters) => characters.join(''));
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(key, { minLength: 1, maxLength: 40, size: 'max' }), async (keys) => {
      const storage = await openLevel(join(await tempDir('storage'), 'db'));
      await storage.batch(
        keys.map((name, index) => ({ type: 'put', key: name, value: Uint8Array.of(index) })),
        false,
      );
      const found = keys.map((name) => storage.getSync(name)?.[0]);
      await storage.close();
      expect(found).toEqual(keys.map((_, index) => index));
    }),
    fcOptions(30),
  );
});

describe('an opening has little to read again from the log of LevelDB', () => {
  const MB = 1024 * 1024;

  async function bytesOfLogs(location: string): Promise<number> {
    const logs = (await readdir(location)).filter((name) => name.endsWith('.log'));
    const sizes = await Promise.all(logs.map((name) => stat(join(location, name)).then(({ size }) => size)));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  const put = (key: string, bytes: number) => ({ type: 'put', key, value: Buffer.alloc(bytes, key) }) as const;

  it('after a large batch, if the process is killed', async () => {
    const location = join(await tempDir('storage'), 'db');
    const storage = await openLevel(location);
    await storage.batch([put('a', 3 * MB), put('b', 3 * MB)], true);
    await vi.waitFor(async () => expect(await bytesOfLogs(location)).toBe(0), { timeout: 10_000 });
    expect(storage.getSync('b')).toHaveLength(3 * MB);
    await storage.close();
  });

  it('after small batches, if it was closed', async () => {
    const location = join(await tempDir('storage'), 'db');
    const storage = await openLevel(location);
    for (const key of ['a', 'b', 'c', 'd']) await storage.batch([put(key, MB / 2)], true);
    expect(await bytesOfLogs(location)).toBeGreaterThan(MB);
    await storage.close();
    expect(await bytesOfLogs(location)).toBe(0);
    const again = await openLevel(location);
    for (const key of ['a', 'b', 'c', 'd']) expect(again.getSync(key)).toHaveLength(MB / 2);
    await again.close();
  });
});
