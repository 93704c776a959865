import { copyFile, cp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkDatabaseFiles, type FileDamage } from '../../../src/storage/disk/leveldb/proof/level-files.ts';
import { fcOptions } from '../../support/property.ts';
import { tempDir } from '../../support/temp-dir.ts';

const BLOCK = 32 * 1024;

let original: string;
/** A copy to be damaged and restored. */
let location: string;

/** Some of it compressible, some not, some larger than a block; written in batches of 20. */
async function fill(db: ClassicLevel<string, Buffer>, first: number, last: number): Promise<void> {
  for (let from = first; from < last; from += 20) {
    const batch = db.batch();
    for (let i = from; i < from + 20; i += 1) {
      const noise = Buffer.alloc(900, `${(i * 7919) % 104729}${(i * 15485863) % 32452843}`, 'latin1');
      for (let at = 0; at < 400; at += 1) noise[at] = (i * 31 + at * at * 17) >>> (at % 8);
      batch.put(`!a prefix of keys!${String(i).padStart(8, '0')}`, i % 50 === 0 ? Buffer.alloc(70_000, noise) : noise);
    }
    await batch.write();
  }
}

async function makeDatabase(at: string): Promise<void> {
  const db = new ClassicLevel<string, Buffer>(at, { valueEncoding: 'buffer' });
  await db.open();
  await fill(db, 0, 4000);
  await db.compactRange('\0', '\x7f');
  await fill(db, 3000, 4600);
  await db.close();
}

async function damages(options = { live: false }): Promise<FileDamage[]> {
  const found: FileDamage[] = [];
  for await (const damage of checkDatabaseFiles(location, options)) found.push(damage);
  return found;
}

async function filesLike(pattern: RegExp): Promise<string[]> {
  return (await readdir(original)).filter((file) => pattern.test(file)).sort();
}

async function only(pattern: RegExp): Promise<string> {
  const files = await filesLike(pattern);
  expect(files.length).toBe(1);
  return files[0] as string;
}

async function mend(file: string): Promise<void> {
  await copyFile(join(original, file), join(location, file));
}

async function overwrite(file: string, offset: number, change: (bytes: Buffer) => void, length = 1): Promise<void> {
  const handle = await open(join(location, file), 'r+');
  try {
    const bytes = Buffer.alloc(length);
    await handle.read(bytes, 0, length, offset);
    change(bytes);
    await handle.write(bytes, 0, length, offset);
  } finally {
    await handle.close();
  }
}

const flip = (bit: number) => (bytes: Buffer) => {
  bytes[0] = (bytes[0] ?? 0) ^ (1 << bit);
};

beforeAll(async () => {
  original = join(await tempDir('level-files'), 'db');
  await makeDatabase(original);
  location = join(await tempDir('level-files'), 'db');
  await cp(original, location, { recursive: true });
});

describe('the files of a database', () => {
  it('pass as LevelDB leaves them', async () => {
    expect((await filesLike(/\.ldb$/)).length).toBeGreaterThan(2);
    expect((await stat(join(original, await only(/\.log$/)))).size).toBeGreaterThan(20 * BLOCK);
    expect(await damages()).toEqual([]);
    expect(await damages({ live: true })).toEqual([]);
  });

  it('pass after every opening, and while they are written', async () => {
    const at = join(await tempDir('level-files'), 'db');
    for (let round = 0; round < 4; round += 1) {
      const db = new ClassicLevel<string, Buffer>(at, { valueEncoding: 'buffer', writeBufferSize: 128 * 1024 });
      await db.open();
      const writing = fill(db, round * 400, round * 400 + 1000);
      let done = false;
      void writing.finally(() => {
        done = true;
      });
      do {
        for await (const damage of checkDatabaseFiles(at, { live: true })) expect.fail(JSON.stringify(damage));
      } while (!done);
      await writing;
      await db.close();
      for await (const damage of checkDatabaseFiles(at, { live: false })) expect.fail(JSON.stringify(damage));
    }
  });

  it('reveal any flipped bit of a table, in that file', async () => {
    const files = await filesLike(/\.ldb$/);
    const place = fc.record({
      file: fc.constantFrom(...files),
      at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(place, fc.boolean(), fc.nat(7), async ({ file, at }, nearTheEnd, bit) => {
        const { size } = await stat(join(original, file));
        const offset = nearTheEnd ? size - 1 - Math.floor(at * 200) : Math.floor(at * size);
        await overwrite(file, offset, flip(bit));
        const found = await damages();
        await mend(file);
        expect(found.map((damage) => damage.file)).toEqual([file]);
        // The damage is in the named block, or in the entry that names the block.
        if (found[0]?.problem.startsWith('a block')) expect(found[0].offset).toBeLessThanOrEqual(offset);
      }),
      fcOptions(25),
    );
  });

  it('reveal a footer that names one block twice and another one not at all', async () => {
    const file = (await filesLike(/\.ldb$/))[0] as string;
    const { size } = await stat(join(original, file));
    const rename = (footer: Buffer) => {
      const ends: number[] = [];
      for (let at = 0; ends.length < 4; at += 1) if ((footer[at] ?? 0) < 0x80) ends.push(at + 1);
      const index = Buffer.from(footer.subarray(ends[1], ends[3]));
      footer.fill(0, 0, 40);
      footer.set(Buffer.concat([index, index]));
    };
    await overwrite(file, size - 48, rename, 48);
    expect(await damages()).toEqual([{ file, offset: size - 48, problem: 'the footer is damaged' }]);
    await mend(file);
  });

  it('reveal a flipped bit of the write-ahead log and the manifest if whole records follow it', async () => {
    for (const file of [await only(/\.log$/), await only(/^MANIFEST/)]) {
      const { size } = await stat(join(original, file));
      const early = file.startsWith('MANIFEST') ? 60 : size - 30_000;
      await fc.assert(
        fc.asyncProperty(fc.nat(early - 1), fc.nat(7), async (offset, bit) => {
          await overwrite(file, offset, flip(bit));
          const [first] = await damages();
          await mend(file);
          expect(first?.file).toBe(file);
          expect(first?.offset).toBeLessThanOrEqual(offset);
          expect(first?.offset).toBeGreaterThan(offset - BLOCK);
        }),
        fcOptions(25),
      );
    }
  });

  it('pass with a torn end, which was never acknowledged, wherever it is torn', async () => {
    const file = await only(/\.log$/);
    const { size } = await stat(join(original, file));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: size }), async (length) => {
        await truncate(join(location, file), length);
        const found = await damages();
        await mend(file);
        expect(found).toEqual([]);
      }),
      fcOptions(15),
    );
  });

  it('pass with zeros at the end, but not with zeros that records follow', async () => {
    const file = await only(/\.log$/);
    const bytes = await readFile(join(original, file));
    await writeFile(join(location, file), Buffer.from(bytes).fill(0, bytes.length - 40_000));
    expect(await damages()).toEqual([]);
    await writeFile(join(location, file), Buffer.from(bytes).fill(0, 3 * BLOCK, 4 * BLOCK));
    expect(await damages()).toMatchObject([{ file }]);
    await writeFile(join(location, file), Buffer.alloc(bytes.length));
    expect(await damages()).toEqual([]);
    await mend(file);
  });

  it('reveal a file that is missing or has another size, unless a process writes there', async () => {
    const table = (await filesLike(/\.ldb$/))[0] as string;
    for (const file of [table, await only(/\.log$/), await only(/^MANIFEST/)]) {
      await rm(join(location, file));
      expect(await damages()).toMatchObject([{ file, offset: 0, problem: expect.stringContaining('is missing') }]);
      expect(await damages({ live: true })).toEqual([]);
      await mend(file);
    }
    const { size } = await stat(join(original, table));
    await truncate(join(location, table), size - 1);
    expect(await damages()).toMatchObject([{ file: table, offset: size - 1 }]);
    await mend(table);
    await writeFile(join(location, 'CURRENT'), 'MANIFEST-');
    expect(await damages()).toEqual([{ file: 'CURRENT', offset: 0, problem: 'does not name a manifest' }]);
    await mend('CURRENT');
    expect(await damages()).toEqual([]);
  });

  it('are read until the signal aborts', async () => {
    const checking = checkDatabaseFiles(location, { live: false, signal: AbortSignal.abort(new Error('enough')) });
    await expect(checking.next()).rejects.toThrow('enough');
  });
});
