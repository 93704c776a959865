import { cp, open as openFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { verifyDirectory } from '../../src/index.ts';
import { tempDir } from '../support/temp-dir.ts';
import { filledDirectory, open, told, withRecords } from '../support/verify.ts';

let whole = '';

beforeAll(async () => {
  whole = await filledDirectory();
  const cache = await open({ dataDir: whole });
  await cache.backup();
  await cache.set('after', 1);
  await cache.shutdown();
});

async function copy(): Promise<string> {
  const dataDir = await tempDir('copy');
  await cp(whole, dataDir, { recursive: true });
  return dataDir;
}

async function flip(file: string, share: number): Promise<void> {
  const handle = await openFile(file, 'r+');
  const { size } = await handle.stat();
  const at = Math.min(size - 1, Math.floor(share * size));
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  await handle.write(
    byte.map((value) => value ^ 4),
    0,
    1,
    at,
  );
  await handle.close();
}

/** Every file except LevelDB's own diary and the lock, with its size and the time of its last change. */
async function contentOf(dataDir: string): Promise<string[]> {
  const found: string[] = [];
  for (const file of (await readdir(dataDir, { recursive: true })).sort()) {
    const { mtimeMs, size, isFile } = await stat(join(dataDir, file)).then((of) => ({ ...of, isFile: of.isFile() }));
    if (isFile && !/LOG(\.old)?$|^db\/lock\//.test(file)) found.push(`${file} ${size} ${mtimeMs}`);
  }
  return found;
}

describe('verifyDirectory', () => {
  it('finds nothing in a whole directory, and changes nothing in it', async () => {
    const dataDir = await copy();
    const before = await contentOf(dataDir);
    const report = await verifyDirectory(dataDir);
    expect(told(report.problems)).toEqual([]);
    expect(report).toMatchObject({ ok: true, notes: [], checked: { snapshots: 1, namespaces: 4 } });
    expect(await contentOf(dataDir)).toEqual(before);
    const cache = await open({ dataDir });
    expect(report.digest).toBe(await cache.digest());
    expect(report.position).toBe(cache.position);
    await expect(verifyDirectory(dataDir)).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
  });

  it('finds a flipped bit in each file of a snapshot, and names it', async () => {
    const names = (await readdir(join(whole, 'backups'))).filter((name) => name.endsWith('.blob'));
    expect(names.length).toBeGreaterThan(1);
    for (const name of names) {
      const dataDir = await copy();
      await flip(join(dataDir, 'backups', name), 0.5);
      const { ok, problems } = await verifyDirectory(dataDir);
      expect(ok).toBe(false);
      expect(told(problems).join('\n')).toContain(name.replace('.blob', ''));
    }
  });

  it('locates the damage of a directory that cannot be opened', async () => {
    const dataDir = await copy();
    const [segment = ''] = await readdir(join(dataDir, 'db', 'log'));
    await flip(join(dataDir, 'db', 'log', segment), 0.5);
    const report = await verifyDirectory(dataDir, { against: join(dataDir, 'backups') });
    expect(report.ok).toBe(false);
    expect(report.problems).toEqual([
      {
        kind: 'log',
        where: { file: `db/log/${segment}`, offset: expect.any(Number), position: expect.any(Number) },
        message: expect.stringMatching(/is damaged from byte \d+ to \d+\.$/),
      },
    ]);
    expect(report.notes.join(' ')).toMatch(/The state was not determined.*Nothing was compared/);
    expect((await readdir(dataDir)).sort()).toEqual((await readdir(whole)).sort());
  });

  it('notes an index that is missing, and reports one that cannot be opened', async () => {
    const dataDir = await copy();
    const index = join(dataDir, 'db', 'index');
    const manifest = (await readdir(index)).find((name) => name.startsWith('MANIFEST')) ?? '';
    await flip(join(index, manifest), 0);
    const wrong = await verifyDirectory(dataDir);
    expect(told(wrong.problems)).toEqual([expect.stringMatching(/^index {"file":"db\/index"}/)]);
    expect(wrong.notes).toEqual([]);
    await rm(index, { recursive: true });
    const { ok, notes } = await verifyDirectory(dataDir);
    expect({ ok, notes }).toEqual({ ok: true, notes: [expect.stringMatching(/not compared: it is missing/)] });
    expect(await verifyDirectory(dataDir, { repair: true })).toMatchObject({ ok: true, notes: [], repaired: notes });
  });

  it('judges the index before it is opened for a comparison, and compares nothing if it is wrong', async () => {
    const dataDir = await copy();
    await withRecords(dataDir, (storage) => storage.batch([{ type: 'del', key: '!past!t/0' }], true));
    const against = join(dataDir, 'backups');
    const wrong = await verifyDirectory(dataDir, { against });
    expect(new Set(wrong.problems.map(({ kind }) => kind))).toEqual(new Set(['index']));
    expect(wrong).toMatchObject({ checked: { compared: 0 }, notes: [expect.stringMatching(/^Nothing was compared/)] });
    const repaired = await verifyDirectory(dataDir, { against, repair: true });
    expect(repaired).toMatchObject({ ok: true, checked: { compared: 242 } });
    expect(repaired.repaired).toEqual(wrong.problems.map(({ message }) => message));
  });

  it('never repairs while base or log is damaged', async () => {
    const dataDir = await copy();
    const [segment = ''] = await readdir(join(dataDir, 'db', 'log'));
    await flip(join(dataDir, 'db', 'log', segment), 0.5);
    await rm(join(dataDir, 'db', 'index'), { recursive: true });
    const before = await contentOf(dataDir);
    const report = await verifyDirectory(dataDir, { repair: true });
    expect(report).toMatchObject({ ok: false, repaired: [] });
    expect(await contentOf(dataDir)).toEqual(before);
  });

  it('rejects if there is no directory', async () => {
    await expect(verifyDirectory(join(await tempDir('none'), 'x'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('stops when the signal aborts', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(verifyDirectory(await copy(), { signal })).rejects.toThrow('enough');
  });
});
