import { statSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { describe, expect, it, test } from 'vitest';
import { createUpdate } from '../../../src/core/update.ts';
import { LevelLog, type LevelLogOptions } from '../../../src/storage/disk/log/level-log.ts';
import { blockKey } from '../../../src/storage/disk/records/block-codec.ts';
import { updateLogSuite } from '../../../src/testing/update-log-suite.ts';
import { all, aSet, positions, someSets } from '../../support/log.ts';
import { tempDir } from '../../support/temp-dir.ts';

describe('LevelLog conforms', () => {
  updateLogSuite({
    test,
    open: async () => {
      const dataDir = await tempDir('log');
      const reopen = () => LevelLog.open({ dataDir });
      return { log: await reopen(), reopen };
    },
  });
});

const anError = (code: string, message?: unknown) =>
  expect.objectContaining(message === undefined ? { code } : { code, message });

async function open(options: Partial<LevelLogOptions> = {}): Promise<{ log: LevelLog; dataDir: string }> {
  const dataDir = options.dataDir ?? (await tempDir('log'));
  return { log: await LevelLog.open({ sync: false, ...options, dataDir }), dataDir };
}

async function append(log: LevelLog, count: number): Promise<void> {
  log.append(someSets(count, log.head + 1));
  await log.flush();
}

/** Works on the database itself, while no log has it open. */
async function meddle(dataDir: string, work: (db: ClassicLevel<string, Uint8Array>) => Promise<void>): Promise<void> {
  const db = new ClassicLevel<string, Uint8Array>(join(dataDir, 'db'), { valueEncoding: 'view' });
  await db.open();
  await work(db);
  await db.close();
}

describe('LevelLog', () => {
  it('creates its directory for its owner only', async () => {
    const dataDir = join(await tempDir('log'), 'deep', 'context');
    const { log } = await open({ dataDir });
    expect(statSync(dataDir).mode & 0o777).toBe(0o700);
    await log.close();
  });

  it('keeps every update over many groups, blocks and reopenings', async () => {
    const { log, dataDir } = await open();
    const large = 'x'.repeat(700_000);
    for (let round = 0; round < 5; round += 1) {
      log.append(someSets(3000, log.head + 1));
      log.append([
        createUpdate({
          namespace: 'big',
          version: round + 1,
          operation: 'set',
          key: 'k',
          value: large,
          at: 5,
          bytes: large.length,
        }),
      ]);
      log.append(someSets(2500, log.head + 1));
      await log.flush();
    }
    await log.close();
    const { log: again } = await open({ dataDir });
    const updates = await all(again.read(1));
    expect(updates.length).toBe(5 * 5501);
    expect(updates.every(({ position }, index) => position === index + 1)).toBe(true);
    expect(updates.filter(({ namespace }) => namespace === 'big').every(({ value }) => value === large)).toBe(true);
    expect(positions(await all(again.read(4000, 4003)))).toEqual([4000, 4001, 4002, 4003]);
    await again.close();
  });

  it('freezes the values it reads, and keeps a property named __proto__', async () => {
    const { log, dataDir } = await open();
    const value = JSON.parse('{"__proto__":{"polluted":true},"list":[{"a":1}]}');
    log.append([createUpdate({ namespace: 'n', version: 1, operation: 'set', key: 'k', value, at: 1, bytes: 30 })]);
    await log.close();
    const { log: again } = await open({ dataDir });
    const [update] = await all(again.read(1));
    expect(JSON.stringify(update?.value)).toBe(JSON.stringify(value));
    const { list } = update?.value ? (update.value as { list: object[] }) : { list: [] };
    expect(list.length === 1 && Object.isFrozen(list[0])).toBe(true);
    await again.close();
  });

  it('reads what is no longer in memory from disk, for its followers', async () => {
    const { log } = await open({ capacityUpdates: 10 });
    for (let i = 0; i < 30; i += 1) await append(log, 7);
    const follower = log.follower('f');
    const got: number[] = [];
    for (let batch = await follower.read(13); batch !== undefined; batch = await follower.read(13)) {
      expect(batch.skipped).toBe(0);
      got.push(...positions(batch.updates));
      await follower.save(batch.through);
      if (got.length < 400) await append(log, 3);
    }
    expect(got).toEqual(Array.from({ length: log.head }, (_, index) => index + 1));
    await log.close();
  });

  it('keeps in memory what a follower has not received, up to a bound, and less once all have received it', async () => {
    const { log } = await open();
    const value = Object.freeze({ the: 'same' });
    const put = async (count: number) => {
      const version = log.head + 1;
      const set = (_: unknown, i: number) =>
        createUpdate({ namespace: 'n', version: version + i, operation: 'set', key: 'k', value, at: 5, bytes: 30 });
      log.append(Array.from({ length: count }, set));
      await log.flush();
    };
    /** Updates read from disk are copies. */
    const isInMemory = async (position: number) => (await all(log.read(position, position)))[0]?.value === value;
    const follower = log.follower('slow');
    for (let i = 0; i < 7; i += 1) await put(10_000);
    expect([await isInMemory(70_000 - 65_536), await isInMemory(70_001 - 65_536)]).toEqual([false, true]);
    await follower.save(70_000);
    await put(1);
    expect([await isInMemory(70_001 - 16_384), await isInMemory(70_002 - 16_384)]).toEqual([false, true]);
    await log.close();
  });

  it('keeps the checkpoints of its followers, and discards those of removed ones', async () => {
    const { log, dataDir } = await open();
    await append(log, 9);
    for (const name of ['kept', 'gone']) await log.follower(name).save(4);
    await log.follower('kept').save(7);
    await log.follower('gone').remove();
    await log.close();
    const { log: again } = await open({ dataDir });
    expect(again.follower('kept', 1).checkpoint).toBe(7);
    expect(again.follower('gone', 1).checkpoint).toBe(1);
    await again.close();
  });

  it('starts after a position, also when reopened', async () => {
    const { log, dataDir } = await open();
    await log.beginAfter(1000);
    await log.close();
    const { log: empty } = await open({ dataDir });
    expect([empty.head, empty.committed, empty.first]).toEqual([1000, 1000, 1001]);
    await append(empty, 2);
    await empty.close();
    const { log: again } = await open({ dataDir });
    expect([again.head, again.first]).toEqual([1002, 1001]);
    expect(positions(await all(again.read(1001)))).toEqual([1001, 1002]);
    await again.close();
  });

  it('refuses appends while too much waits to be written, and accepts them later', async () => {
    const { log } = await open({ maxPendingBytes: 1000 });
    log.append([aSet('n', 1), aSet('n', 2), aSet('n', 3), aSet('n', 4)]);
    expect(() => log.append([aSet('n', 5)])).toThrow(anError('OVERLOADED'));
    expect(log.head).toBe(4);
    await log.flush();
    await append(log, 1);
    expect(log.committed).toBe(5);
    await log.close();
  });

  it('keeps settings beside the log', async () => {
    const { log, dataDir } = await open();
    await log.configStore.set('topics', ['a', { b: null }]);
    await log.configStore.set('backup', 1);
    await log.configStore.delete('backup');
    await log.close();
    await expect(log.configStore.set('topics', [])).rejects.toThrow(anError('CLOSED'));
    const { log: again } = await open({ dataDir });
    expect(again.configStore.get('topics')).toEqual(['a', { b: null }]);
    expect(again.configStore.get('backup')).toBeUndefined();
    expect(again.configStore.list()).toEqual(['topics']);
    expect(again.head).toBe(0);
    await again.close();
  });

  it('is locked while it is open, and free afterwards', async () => {
    const { log, dataDir } = await open();
    await expect(LevelLog.open({ dataDir })).rejects.toThrow(
      anError('DIRECTORY_LOCKED', expect.stringContaining(dataDir)),
    );
    await log.close();
    await (await open({ dataDir })).log.close();
  });
});

describe('LevelLog refuses', () => {
  async function filled(groups = 3): Promise<string> {
    const { log, dataDir } = await open();
    for (let i = 0; i < groups; i += 1) await append(log, 2);
    await log.close();
    return dataDir;
  }

  /** Flips some bits of a record one after the other; each flip must be detected. */
  async function flipped(dataDir: string, key: string, look: () => Promise<unknown>): Promise<void> {
    for (const place of [0, 0.3, 0.6, 0.99]) {
      const flip = () =>
        meddle(dataDir, async (db) => {
          const bytes = Uint8Array.from((await db.get(key)) ?? []);
          const index = Math.floor(bytes.length * place);
          bytes[index] = (bytes[index] ?? 0) ^ 4;
          await db.put(key, bytes);
        });
      await flip();
      await look();
      await flip();
    }
  }

  it('a damaged block, naming its position', async () => {
    const dataDir = await filled();
    await flipped(dataDir, blockKey(3), async () => {
      const { log } = await open({ dataDir });
      const damage = anError('LOG_CORRUPT', expect.stringContaining('position 3'));
      await expect(all(log.read(1))).rejects.toThrow(damage);
      await expect(log.follower('f').read(10)).rejects.toThrow(damage);
      await log.close();
    });
    const { log } = await open({ dataDir });
    expect(positions(await all(log.read(1)))).toEqual([1, 2, 3, 4, 5, 6]);
    await log.close();
  });

  it('a damaged last block, when opening', async () => {
    const dataDir = await filled();
    await flipped(dataDir, blockKey(5), async () => {
      await expect(open({ dataDir })).rejects.toThrow(anError('LOG_CORRUPT', expect.stringContaining('position 5')));
    });
    await (await open({ dataDir })).log.close();
  });

  it('a gap', async () => {
    const dataDir = await filled();
    await meddle(dataDir, (db) => db.del(blockKey(3)));
    const { log } = await open({ dataDir });
    await expect(all(log.read(1))).rejects.toThrow(
      anError('LOG_CORRUPT', expect.stringContaining('gap at position 3')),
    );
    await expect(all(log.read(3))).rejects.toThrow(
      anError('LOG_CORRUPT', expect.stringContaining('gap at position 3')),
    );
    await log.close();
  });

  it('a log without its start', async () => {
    const dataDir = await filled();
    await meddle(dataDir, (db) => db.del(blockKey(1)));
    await expect(open({ dataDir })).rejects.toThrow(anError('LOG_CORRUPT'));
  });

  it('a log without an end that a follower has received', async () => {
    const { log, dataDir } = await open();
    await append(log, 2);
    await append(log, 2);
    await log.follower('f').save(4);
    await log.close();
    await meddle(dataDir, (db) => db.del(blockKey(3)));
    await expect(open({ dataDir })).rejects.toThrow(anError('LOG_CORRUPT'));
  });

  it('the database of a newer version, and leaves it unchanged', async () => {
    const dataDir = await filled();
    const newer = Buffer.from(JSON.stringify({ product: 'agent-context-cache', format: 2 }));
    await meddle(dataDir, (db) => db.put('!meta!format', newer));
    await expect(open({ dataDir })).rejects.toThrow(anError('FORMAT_UNSUPPORTED', expect.stringContaining('format 2')));
    await meddle(dataDir, async (db) => expect(Buffer.from((await db.get('!meta!format')) ?? [])).toEqual(newer));
  });

  it("another program's database", async () => {
    const dataDir = await tempDir('log');
    await mkdir(join(dataDir, 'db'));
    await meddle(dataDir, (db) => db.put('theirs', Buffer.from('1')));
    await expect(open({ dataDir })).rejects.toThrow(anError('FORMAT_UNSUPPORTED'));
    await meddle(dataDir, async (db) => expect(await db.keys().all()).toEqual(['theirs']));
  });

  it('a damaged database, and never creates a new one over it', async () => {
    const dataDir = await filled();
    const db = join(dataDir, 'db');
    await rm(join(db, 'CURRENT'));
    const before = await readdir(db);
    await expect(open({ dataDir })).rejects.toThrow(anError('LOG_CORRUPT', expect.stringContaining(dataDir)));
    expect(await readdir(db)).toEqual(before);
    await writeFile(join(db, 'CURRENT'), 'MANIFEST-999999\n');
    await expect(open({ dataDir })).rejects.toThrow(anError('LOG_CORRUPT'));
  });

  it('a path that cannot be a directory', async () => {
    const path = join(await tempDir('log'), 'file');
    await writeFile(path, '');
    await expect(open({ dataDir: path })).rejects.toThrow(anError('LOG_UNAVAILABLE', expect.stringContaining(path)));
  });
});
