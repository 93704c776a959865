import { execFile } from 'node:child_process';
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { beforeAll, describe, expect, it } from 'vitest';
import { damageIn, NotTried } from '../../src/storage/disk/index/leveldb/trial.ts';
import { tempDir } from '../support/temp-dir.ts';

describe('a database that is tried in a process of its own', () => {
  let whole = '';
  let table = '';

  beforeAll(async () => {
    whole = join(await tempDir('trial'), 'db');
    const db = new ClassicLevel(whole, { compression: false });
    await db.open();
    for (let i = 0; i < 20; i += 1) await db.put(`k${i}`, 'value');
    await db.compactRange('a', 'z');
    await db.close();
    table = (await readdir(whole)).find((name) => name.endsWith('.ldb')) ?? '';
  });

  /** A copy whose first key is shorter than LevelDB's keys are. */
  async function withShortKey(): Promise<string> {
    const location = join(await tempDir('trial'), 'db');
    await cp(whole, location, { recursive: true });
    const bytes = await readFile(join(whole, table));
    bytes[1] = 1;
    await writeFile(join(location, table), bytes);
    return location;
  }

  it('is read here if nothing is found', async () => {
    expect(await damageIn(whole)).toBeUndefined();
    expect(await damageIn(join(whole, 'none'))).toMatch(/^LevelDB cannot read it: /);
  });

  it('is not read here if LevelDB would end the process', async () => {
    const script = `
      const { ClassicLevel } = await import(process.argv.at(-2));
      const db = new ClassicLevel(process.argv.at(-1));
      await db.getMany(['k0', 'k1']).catch(() => undefined);`;
    const args = ['--input-type=module', '-e', script, import.meta.resolve('classic-level'), await withShortKey()];
    const signal = await new Promise((resolve) => execFile(process.execPath, args, (error) => resolve(error?.signal)));
    expect(signal).toBe('SIGABRT');
    expect(await damageIn(await withShortKey())).toMatch(/^LevelDB (cannot read it|ends the process)/);
  });

  it('is not read if the process cannot be started, has failed, or is cancelled', async () => {
    const { execPath } = process;
    try {
      for (const wrong of [join(whole, 'none'), '/bin/false']) {
        process.execPath = wrong;
        await expect(damageIn(whole)).rejects.toThrow(NotTried);
      }
    } finally {
      process.execPath = execPath;
    }
    const controller = new AbortController();
    const tried = damageIn(whole, controller.signal);
    controller.abort(new Error('enough'));
    await expect(tried).rejects.toThrow('enough');
  });

  it('is tried with every key, a few at a time', async () => {
    const location = join(await tempDir('trial'), 'db');
    const db = new ClassicLevel(location);
    await db.open();
    for (let i = 0; i < 2_500; i += 500) {
      await db.batch(Array.from({ length: 500 }, (_, each) => ({ type: 'put', key: `k${i + each}`, value: 'v' })));
    }
    await db.close();
    expect(await damageIn(location)).toBeUndefined();
  });

  it('is reported with the damage that LevelDB tells', async () => {
    const location = await withShortKey();
    await rm(join(location, table));
    expect(await damageIn(location)).toMatch(/^LevelDB cannot read it: /);
  });
});
