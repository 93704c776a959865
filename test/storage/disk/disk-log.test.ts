import { statSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { createUpdate } from '../../../src/core/update.ts';
import { writeBase } from '../../../src/storage/disk/base/base-file.ts';
import { type Files, nodeFiles } from '../../../src/storage/disk/files.ts';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import type { DiskLogOptions } from '../../../src/storage/disk/log/disk-log-options.ts';
import { FileLog } from '../../../src/storage/disk/log/file-log.ts';
import { updateLogSuite } from '../../../src/testing/update-log-suite.ts';
import { all, aSet, positions, someSets } from '../../support/log.ts';
import { tempDir } from '../../support/temp-dir.ts';

describe('DiskLog conforms', () => {
  updateLogSuite({
    test,
    open: async () => {
      const dataDir = await tempDir('log');
      const reopen = () => DiskLog.open({ dataDir });
      return { log: await reopen(), reopen };
    },
  });
});

const anError = (code: string, message?: unknown) =>
  expect.objectContaining(message === undefined ? { code } : { code, message });

async function open(options: Partial<DiskLogOptions> = {}): Promise<{ log: DiskLog; dataDir: string }> {
  const dataDir = options.dataDir ?? (await tempDir('log'));
  return { log: await DiskLog.open({ sync: false, ...options, dataDir }), dataDir };
}

async function append(log: DiskLog, count: number): Promise<void> {
  log.append(someSets(count, log.head + 1));
  await log.flush();
}

describe('DiskLog', () => {
  it('creates its directory for its owner only', async () => {
    const dataDir = join(await tempDir('log'), 'deep', 'context');
    const { log } = await open({ dataDir });
    expect(statSync(dataDir).mode & 0o777).toBe(0o700);
    await log.close();
  });

  it('keeps every update over many groups, frames and reopenings', async () => {
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
    await writeBase(nodeFiles, join(log.path, 'base'), { log: log.id, position: 1000 }, []);
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
    await expect(DiskLog.open({ dataDir })).rejects.toThrow(
      anError('DIRECTORY_LOCKED', expect.stringContaining(dataDir)),
    );
    await log.close();
    await (await open({ dataDir })).log.close();
  });
});

describe('DiskLog in several files', () => {
  const MIB = 1024 * 1024;

  /** Appends updates of this size, each in a group of its own. */
  async function appendLarge(log: DiskLog, count: number, bytes = MIB): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      const version = log.head + 1;
      const value = String(version).padEnd(bytes, '.');
      log.append([createUpdate({ namespace: 'n', version, operation: 'set', key: 'large', value, at: 5, bytes })]);
      await log.flush();
    }
  }

  async function filesOf(dataDir: string): Promise<number[]> {
    return (await readdir(join(dataDir, 'db', 'log'))).sort().map((name) => Number.parseInt(name, 10));
  }

  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

  it('starts a new file after 16 MiB', async () => {
    const { log, dataDir } = await open();
    await appendLarge(log, 15);
    await append(log, 100);
    expect(await filesOf(dataDir)).toEqual([1]);
    await appendLarge(log, 1);
    await append(log, 1);
    expect(await filesOf(dataDir)).toEqual([1, 117]);
    await appendLarge(log, 17);
    await log.close();
    expect(await filesOf(dataDir)).toEqual([1, 117, 134]);
    for (const name of await readdir(join(dataDir, 'db', 'log'))) {
      expect(statSync(join(dataDir, 'db', 'log', name)).size).toBeLessThan(17.1 * MIB);
    }
    const { log: again } = await open({ dataDir });
    expect(positions(await all(again.read(1)))).toEqual(range(1, 134));
    await again.close();
  });

  it.each([300 * 1024, 40 * 1024])('reads groups of %i bytes hardly more than once if it reads all', async (bytes) => {
    const { log } = await open();
    const count = 40;
    await appendLarge(log, count, bytes);
    let read = 0;
    const counting: Files = {
      ...nodeFiles,
      open: (path) => {
        const file = nodeFiles.open(path);
        return {
          close: () => file.close(),
          read: (target, offset) => {
            const length = file.read(target, offset);
            read += length;
            return length;
          },
        };
      },
    };
    const reader = new FileLog(counting, { path: log.path, id: log.id, ...log.names() });
    let updates = 0;
    for await (const group of reader.readLocated(1, count)) updates += group.length;
    expect(updates).toBe(count);
    expect(read).toBeLessThan(1.4 * count * bytes);
    reader.close();
    await log.close();
  });

  it('reads the latest updates, followers and single updates from any of them', async () => {
    const { log } = await open({ capacityUpdates: 4 });
    await appendLarge(log, 40, MIB);
    const follower = log.follower('f');
    const got: number[] = [];
    for (let batch = await follower.read(7); batch !== undefined; batch = await follower.read(7)) {
      for (const { position, value } of batch.updates)
        if (value?.toString().startsWith(`${position}.`)) got.push(position);
      await follower.save(batch.through);
    }
    expect(got).toEqual(range(1, 40));
    log.append(someSets(3, 41));
    for (const [from, to] of [
      [1, 43],
      [14, 19],
      [30, 42],
      [41, 43],
      [40, 39],
    ] as const) {
      expect(positions(log.recent(from, to))).toEqual(range(from, to));
    }
    const names = { path: log.path, id: log.id, ...log.names() };
    const reader = new FileLog(nodeFiles, names);
    await log.flush();
    const expected = log.recent(1, 43);
    let read = 0;
    for await (const updates of reader.readLocated(1, 43)) {
      for (const update of updates) {
        expect(update.position).toBe(read + 1);
        expect(log.updateAt(update.position, update)).toEqual(expected[read]);
        read += 1;
      }
    }
    expect(read).toBe(43);
    reader.close();
    await log.close();
  });

  it('has a unit of several frames as a whole or not at all', async () => {
    const { log, dataDir } = await open();
    await append(log, 2);
    const set = { namespace: 'n', operation: 'set', key: 'large', at: 5, bytes: 0.7 * MIB } as const;
    const value = 'x'.repeat(0.7 * MIB);
    log.append(range(3, 8).map((version) => createUpdate({ ...set, version, value })));
    await log.close();
    const path = join(dataDir, 'db', 'log', '0000000000000001.log');
    const bytes = await readFile(path);
    const ends: number[] = [];
    for (let at = 16; at < bytes.length; at = ends.at(-1) ?? bytes.length)
      ends.push(at + 24 + bytes.readUInt32LE(at + 4));
    // A heading, the first two updates, the unit in three frames, and the note at the end.
    expect(ends.length).toBe(6);
    for (const end of [...ends, ...ends.map((each) => each - 1), ...ends.map((each) => each + 9)].sort(
      (a, b) => b - a,
    )) {
      if (end < (ends[1] ?? 0)) continue;
      const cut = await tempDir('cut');
      await mkdir(join(cut, 'db', 'log'), { recursive: true });
      await writeFile(join(cut, 'db', 'log', '0000000000000001.log'), bytes.subarray(0, end));
      const { log: again } = await open({ dataDir: cut });
      expect(positions(await all(again.read(1)))).toEqual(range(1, end < (ends[4] ?? 0) ? 2 : 8));
      await again.close();
    }
  });
});

describe('DiskLog refuses', () => {
  async function filled(): Promise<string> {
    const { log, dataDir } = await open();
    await append(log, 2);
    await log.close();
    return dataDir;
  }

  it('a directory of format 1, and leaves it unchanged', async () => {
    const dataDir = await tempDir('log');
    await mkdir(join(dataDir, 'db'));
    await writeFile(join(dataDir, 'db', 'CURRENT'), 'MANIFEST-000004\n');
    await expect(open({ dataDir })).rejects.toThrow(anError('FORMAT_UNSUPPORTED', expect.stringContaining('format 1')));
    expect(await readdir(dataDir)).toEqual(['db']);
    expect(await readdir(join(dataDir, 'db'))).toEqual(['CURRENT']);
  });

  it('the log of a newer format, and leaves it unchanged', async () => {
    const dataDir = await filled();
    const path = join(dataDir, 'db', 'log', '0000000000000001.log');
    const bytes = await readFile(path);
    bytes.write('context-cache 5\n');
    await writeFile(path, bytes);
    await expect(open({ dataDir })).rejects.toThrow(anError('FORMAT_UNSUPPORTED', expect.stringContaining('format 4')));
    expect(await readFile(path)).toEqual(bytes);
    expect(await readdir(join(dataDir, 'db', 'log'))).toEqual(['0000000000000001.log']);
  });

  it("another program's file", async () => {
    const dataDir = await filled();
    const path = join(dataDir, 'db', 'log', '0000000000000001.log');
    await writeFile(path, 'theirs');
    await expect(open({ dataDir })).rejects.toThrow(anError('LOG_CORRUPT', expect.stringContaining(path)));
    expect(await readFile(path, 'utf8')).toBe('theirs');
  });

  it('a directory whose log is gone, and never creates a new one over it', async () => {
    for (const [folder, name] of [
      ['index', 'CURRENT'],
      ['base', '0000000000000007.base'],
    ] as const) {
      const dataDir = await tempDir('log');
      await mkdir(join(dataDir, 'db', folder), { recursive: true });
      await writeFile(join(dataDir, 'db', folder, name), '');
      await expect(open({ dataDir })).rejects.toThrow(anError('LOG_CORRUPT', expect.stringContaining(dataDir)));
      expect(await readdir(join(dataDir, 'db', 'log'))).toEqual([]);
    }
  });

  it('a path that cannot be a directory', async () => {
    const path = join(await tempDir('log'), 'file');
    await writeFile(path, '');
    await expect(open({ dataDir: path })).rejects.toThrow(anError('LOG_UNAVAILABLE', expect.stringContaining(path)));
  });
});
