import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
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
