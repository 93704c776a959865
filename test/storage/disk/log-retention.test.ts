import { describe, expect, it } from 'vitest';
import { createUpdate, type PendingUpdate, type Update } from '../../../src/core/update.ts';
import { writeBase } from '../../../src/storage/disk/base/base-file.ts';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import { FileLog } from '../../../src/storage/disk/log/file-log.ts';
import { isDamage, walkFrames } from '../../../src/storage/disk/log/frame-walk.ts';
import type { UpdateLocation } from '../../../src/storage/disk/log/logged-update.ts';
import { all, positions } from '../../support/log.ts';
import { contentOf, fold, recompute, retain } from '../../support/log-truth.ts';
import { MemoryFiles } from '../../support/memory-files.ts';

const DATA_DIR = '/data';

const anError = (code: string, message?: unknown) =>
  expect.objectContaining(message === undefined ? { code } : { code, message });

function open(files: MemoryFiles): Promise<DiskLog> {
  return DiskLog.open({ dataDir: DATA_DIR, files });
}

/** Sets, deletes, clears and drops of two namespaces. */
function someUpdates(count: number, bytes: number): PendingUpdate[] {
  const versions = new Map<string, number>();
  const existing = new Map<string, number>();
  return Array.from({ length: count }, (_, index) => {
    const namespace = index % 3 === 0 ? 'a' : '__proto__';
    const version = (versions.get(namespace) ?? 0) + 1;
    const drop = index % 17 === 16;
    versions.set(namespace, drop ? 0 : version);
    const at = 1000 + index;
    if (drop) existing.delete(namespace);
    if (drop) return createUpdate({ namespace, version, operation: 'clear_namespace', at, drop });
    const key = `k${index % 5}`;
    const value = `${index}`.padEnd(bytes, '.');
    return createUpdate({ namespace, version, operation: 'set', key, value, at, agent: 'agent', bytes });
  });
}

/** Appends updates in groups of three. */
async function append(log: DiskLog, updates: readonly PendingUpdate[]): Promise<void> {
  for (let i = 0; i < updates.length; i += 3) {
    log.append(updates.slice(i, i + 3));
    await log.flush();
  }
}

/** Checks that a directory opens, continues, and that base and log give the state of all updates. */
async function expectWhole(files: MemoryFiles, updates: readonly Update[], what: string): Promise<DiskLog> {
  const log = await open(files);
  expect(log.head, what).toBe(updates.length);
  expect(await all(log.read(log.first)), what).toEqual(updates.slice(log.first - 1));
  const { base } = log.names();
  expect(log.recent(base + 1, log.head), what).toEqual(updates.slice(base));
  expect(contentOf(await recompute(files, log)), what).toEqual(contentOf(fold(updates)));
  expect(files.named('.new'), what).toEqual([]);
  expect(files.named('.base').length, what).toBe(base === 0 ? 0 : 1);
  return log;
}

describe('retention of the log on disk', () => {
  it('moves the start without removing a file, also when reopened', async () => {
    const files = new MemoryFiles();
    const log = await open(files);
    const updates = someUpdates(30, 30);
    await append(log, updates);
    const before = files.named('.log');
    await log.trim(10);
    expect(log.first).toBe(11);
    expect(files.named('.log')).toEqual(before);
    expect(() => log.read(10)).toThrow(anError('POSITION_UNAVAILABLE'));
    await log.close();
    const again = await expectWhole(files, updates, 'reopened');
    expect(again.first).toBe(11);
    expect(() => again.read(10)).toThrow(anError('POSITION_UNAVAILABLE'));
    await again.close();
  });

  it('removes files that end at the position or before, and others only if it is to be complete', async () => {
    const files = new MemoryFiles();
    const updates = someUpdates(60, 20_000);
    let log = await open(files);
    for (let i = 0; i < 60; i += 20) {
      await append(log, updates.slice(i, i + 20));
      await log.close();
      const last = files.named('.log').at(-1) as string;
      // The next opening starts a new file.
      if (i < 40) files.put(last, Buffer.concat([files.bytes(last), Buffer.from([7])]));
      log = await open(files);
    }
    expect(log.names().firsts).toEqual([1, 21, 41]);
    await retain(files, log, updates, 30, false);
    expect(log.names()).toEqual({ base: 30, firsts: [21, 41], exchanged: 0 });
    await retain(files, log, updates, 40, false);
    const frames = [...walkFrames(files, `${log.path}/log/0000000000000041.log`)];
    const offset = frames.find((frame) => !isDamage(frame) && frame.count > 0)?.offset;
    // Names tell a reader where the next update is, which this process has written.
    expect(log.names()).toEqual({ base: 40, firsts: [41], mark: { first: 41, position: 41, offset }, exchanged: 0 });
    await retain(files, log, updates, 50, true);
    // A frame holds three updates; the one with position 51 stays whole.
    expect(log.names()).toEqual({ base: 50, firsts: [50, 61], exchanged: 0 });
    await retain(files, log, updates, 60, true);
    expect(log.names()).toEqual({ base: 60, firsts: [61], exchanged: 0 });
    await log.close();
    await (await expectWhole(files, updates, 'reopened')).close();
  });

  it('keeps the locations of updates when it shortens a file, twice', async () => {
    const files = new MemoryFiles();
    const log = await open(files);
    const updates = someUpdates(40, 20_000);
    await append(log, updates);
    const locations = new Map<number, UpdateLocation>();
    const reader = new FileLog(files, { path: log.path, id: log.id, ...log.names() });
    const locationOf = ({ offset, length, checksum }: UpdateLocation): UpdateLocation => ({ offset, length, checksum });
    for await (const group of reader.readLocated(1, 40)) {
      for (const update of group) locations.set(update.position, locationOf(update));
    }
    for (const [position, first] of [
      [10, 10],
      [23, 22],
    ] as const) {
      await retain(files, log, updates, position, true);
      expect(log.names().firsts).toEqual([first, 41]);
      reader.follow(log.names());
      for (let each = position + 1; each <= 40; each += 1) {
        const location = locations.get(each) as UpdateLocation;
        expect(log.updateAt(each, location)).toEqual(updates[each - 1]);
        expect(reader.updateAt(each, location)).toEqual(updates[each - 1]);
      }
      for await (const group of reader.readLocated(position + 1, 40)) {
        for (const update of group) expect(locationOf(update)).toEqual(locations.get(update.position));
      }
    }
    reader.close();
    await log.close();
    const again = await expectWhole(files, updates, 'reopened');
    expect(again.updateAt(30, locations.get(30) as UpdateLocation)).toEqual(updates[29]);
    await again.close();
  });

  for (const wholly of [false, true]) {
    it(`leaves a whole log after a crash between any two steps, ${wholly ? 'also of shortening' : 'if files stay'}`, async () => {
      const files = new MemoryFiles();
      const log = await open(files);
      const updates = someUpdates(40, 20_000);
      await append(log, updates);
      const crashes: MemoryFiles[] = [];
      files.onChange = () => crashes.push(files.copy());
      for (const position of [10, 25, 40]) await retain(files, log, updates, position, wholly);
      files.onChange = () => {};
      await log.close();
      expect(crashes.length).toBeGreaterThan(wholly ? 25 : 12);
      const more = someUpdates(41, 20_000).slice(40);
      for (const [index, crashed] of crashes.entries()) {
        const opened = await expectWhole(crashed, updates, `step ${index}`);
        await append(opened, more);
        await opened.close();
        await (await expectWhole(crashed, [...updates, ...more], `step ${index}, continued`)).close();
      }
    });
  }

  it('is worth a base file once 16 MiB can be freed, and half of the last base file', async () => {
    const files = new MemoryFiles();
    const log = await open(files);
    const value = 'x'.repeat(1_100_000);
    const set = { namespace: 'n', operation: 'set', at: 5, value, bytes: value.length } as const;
    const updates = Array.from({ length: 70 }, (_, index) =>
      createUpdate({ ...set, version: index + 1, key: `k${Math.min(index, 49)}` }),
    );
    await append(log, updates.slice(0, 50));
    const { firsts } = log.names();
    expect(firsts).toEqual([1, 19, 37]);
    expect(await log.releasable(17)).toBe(false);
    expect(await log.releasable(18)).toBe(true);
    await retain(files, log, updates, 50, true);
    await append(log, updates.slice(50));
    expect(log.names().firsts).toEqual([51, 69]);
    // 20 MB could be freed, and the base file has 55.
    expect(await log.releasable(68)).toBe(false);
    await log.close();
  });
});

describe('starting an empty log after a position', () => {
  it('leaves an empty or a started log after a crash between any two steps', async () => {
    const files = new MemoryFiles();
    const before = someUpdates(20, 100);
    for (const [index, update] of before.entries()) update.position = index + 1;
    const crashes: MemoryFiles[] = [];
    const log = await open(files);
    files.onChange = () => crashes.push(files.copy());
    await writeBase(files, `${log.path}/base`, { log: log.id, position: 20 }, fold(before).values());
    await log.beginAfter(20);
    expect([log.head, log.committed, log.first]).toEqual([20, 20, 21]);
    const after = someUpdates(23, 100).slice(20);
    log.append(after);
    await log.flush();
    await log.close();
    const heads = new Set<number>();
    for (const [index, crashed] of crashes.entries()) {
      const opened = await open(crashed);
      heads.add(opened.head);
      const step = `step ${index}`;
      expect([0, 20, 23], step).toContain(opened.head);
      const expected = [...before, ...after].slice(0, opened.head);
      expect(contentOf(await recompute(crashed, opened)), step).toEqual(contentOf(fold(expected)));
      expect(positions(await all(opened.read(opened.first))), step).toEqual(opened.head === 23 ? [21, 22, 23] : []);
      if (opened.head === 20) opened.append(someUpdates(23, 100).slice(20));
      await opened.close();
      const again = await open(crashed);
      expect(again.head, step).toBe(opened.head === 0 ? 0 : 23);
      await again.close();
    }
    expect([...heads]).toEqual([0, 20, 23]);
  });
});
