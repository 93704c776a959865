import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/core/clock.ts';
import { digestOf } from '../../../../src/core/encoding/digest.ts';
import type { EntryRecord, NamespaceState } from '../../../../src/core/namespace-state.ts';
import { createUpdate } from '../../../../src/core/update.ts';
import { DataDirectory } from '../../../../src/storage/disk/data-directory.ts';
import { IndexSink } from '../../../../src/storage/disk/index/index-sink.ts';
import { openLevel } from '../../../../src/storage/disk/index/leveldb/level-storage.ts';
import { pageOf, pagesFor, parentOf } from '../../../../src/storage/disk/index/state/state-hash.ts';
import type { StateTable } from '../../../../src/storage/disk/index/state/state-table.ts';
import { FaultStorage } from '../../../support/fault-storage.ts';
import { openIndex } from '../../../support/index.ts';
import { aSet, aStep, Cache, someSets } from '../../../support/log.ts';
import { fcOptions } from '../../../support/property.ts';
import { removeTempDir, tempDir } from '../../../support/temp-dir.ts';

const anError = (code: string) => expect.objectContaining({ code });

function expectSame(table: StateTable, cache: Cache): void {
  expect([...table.names()].sort()).toEqual([...cache.namespaces.keys()].sort());
  for (const [name, state] of cache.namespaces) expectSameNamespace(table, name, state);
}

function expectSameNamespace(table: StateTable, name: string, state: NamespaceState): void {
  const summary = table.summary(name);
  const { version, position, bytes, entries } = state;
  expect(summary).toMatchObject({ version, position, bytes, count: entries.size, digest: digestOf(state) });
  const next = state.nextExpiryAt();
  expect(summary?.nextExpiryAt ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(next);
  if (entries.size === 0) expect(summary?.nextExpiryAt).toBeNull();
  const hydrated = table.hydrate(name);
  expect([hydrated?.name, hydrated?.version, hydrated?.position, hydrated?.bytes]).toEqual([
    name,
    version,
    position,
    bytes,
  ]);
  expect(hydrated?.nextExpiryAt()).toBe(next);
  expect(new Map(hydrated?.entries)).toEqual(new Map(entries));
  for (const [key, entry] of entries) expect(table.get(name, key)).toEqual(entry);
  expect(table.get(name, 'never there')).toBeUndefined();
}

describe('the index', () => {
  it('is the fold of the log, whatever the batches, also when reopened', async () => {
    const plan = fc.array(fc.array(aStep(40), { maxLength: 120, size: 'max' }), { maxLength: 6 });
    const scenario = fc.asyncProperty(plan, fc.boolean(), async (batches, reopen) => {
      let opened = await openIndex();
      const { dataDir } = opened;
      const cache = new Cache();
      for (const batch of batches) {
        await opened.take(cache.takeAll(batch));
        expect(opened.table.checkpoint).toBe(opened.log.head);
        expectSame(opened.table, cache);
        if (!reopen) continue;
        await opened.close();
        opened = await openIndex(dataDir);
        expect(opened.table.checkpoint).toBe(opened.log.head);
        expectSame(opened.table, cache);
        expect(opened.events).toEqual([]);
      }
      await opened.close();
      removeTempDir(dataDir);
    });
    await fc.assert(scenario, fcOptions(30));
  });

  it('grows and shrinks with a namespace, and reads it whole at each size', async () => {
    const { table, take, close, dataDir } = await openIndex();
    const cache = new Cache();
    const step = { namespace: 'a', value: 'v', expiresAt: null };
    const keys = Array.from({ length: 3000 }, (_, index) => `key ${index}`);
    for (let i = 0; i < keys.length; i += 500) {
      await take(cache.takeAll(keys.slice(i, i + 500).map((key) => ({ ...step, key, kind: 'set' as const }))));
      expectSame(table, cache);
    }
    for (let i = 0; i < keys.length; i += 700) {
      await take(cache.takeAll(keys.slice(i, i + 700).map((key) => ({ ...step, key, kind: 'remove' as const }))));
      expectSame(table, cache);
    }
    await take(cache.takeAll(keys.map((key) => ({ ...step, key, kind: 'set' as const }))));
    await take(cache.takeAll([{ ...step, key: '', kind: 'clear' as const }]));
    expectSame(table, cache);
    await close();
    const storage = await openLevel(`${dataDir}/db/index`);
    const left: string[] = [];
    for await (const [key] of storage.entries({ gte: '!state!p/', lt: '!state!p0' })) left.push(key);
    expect(left).toEqual([]);
    await storage.close();
  });

  it('takes one batch after another, in the order of the calls', async () => {
    const { log, index, table, close } = await openIndex();
    log.append(someSets(6));
    await log.flush();
    const reached: number[] = [];
    const fold = (to: number) => index.fold(to).then(() => reached.push(table.checkpoint));
    await Promise.all([fold(2), fold(3), fold(3), fold(6)]);
    expect(reached).toEqual([2, 3, 3, 6]);
    expect(table.summary('n')).toMatchObject({ version: 6, count: 6 });
    await close();
  });

  it.each([false, true])(
    'shows readers one state or the next while a batch is being written, never a mixture (worker: %s)',
    async (worker) => {
      const { log, index, table, close } = await openIndex(undefined, { worker });
      const cache = new Cache();
      const step = { namespace: 'a', value: 'v', expiresAt: null, kind: 'set' as const };
      let looks = 0;
      for (let round = 0; round < 10; round += 1) {
        const all = Array.from({ length: 200 }, (_, each) => ({ ...step, key: `${round}/${each}` }));
        log.append(cache.takeAll(all));
        await log.flush();
        let done = false;
        const folding = index.fold(log.committed).finally(() => {
          done = true;
        });
        while (!done) {
          const expected = table.checkpoint;
          expect(table.hydrate('a')?.entries.size ?? 0).toBe(expected);
          expect(table.get('a', `${round}/7`) !== undefined).toBe(expected >= 200 * round + 8);
          expect(table.past.summary('a')?.count ?? 0).toBe(expected);
          looks += 1;
          await new Promise((resolve) => setImmediate(resolve));
        }
        await folding;
        expect(table.hydrate('a')?.entries.size).toBe(log.head);
      }
      expect(looks).toBeGreaterThan(10);
      await close();
    },
  );

  it('keeps everything but the values if a primary keeps those', async () => {
    const { take, close, dataDir } = await openIndex(undefined, { keepsValues: false });
    const touch = createUpdate({
      namespace: 'n',
      version: 2,
      operation: 'touch',
      key: 'k1',
      at: 5,
      expiresAt: 99,
      replaced: 1,
    });
    await take([aSet('n', 1), touch]);
    await close();
    const again = await openIndex(dataDir, { keepsValues: false });
    const entry = { version: 2, createdAt: 1001, updatedAt: 5, expiresAt: 99, agent: null, bytes: 16, meta: undefined };
    expect(again.table.get('n', 'k1')).toEqual({ value: undefined, ...entry });
    await again.close();
    const rebuilt = await openIndex(dataDir);
    expect(rebuilt.events).toMatchObject([{ type: 'rebuilding', reason: expect.stringContaining('primary') }]);
    await rebuilt.index.fold(2);
    expect(rebuilt.table.get('n', 'k1')).toEqual({ value: { version: 1 }, ...entry });
    await rebuilt.close();
  });

  it('is brought up to date by its sink, which continues at its checkpoint', async () => {
    const { log, index, table, close } = await openIndex();
    const sink = new IndexSink(index);
    const { signal } = new AbortController();
    expect(await sink.connect()).toEqual({ position: 0 });
    const cache = new Cache();
    const step = { namespace: 'a', value: 1, expiresAt: null, kind: 'set' as const };
    log.append(cache.takeAll(Array.from({ length: 100 }, (_, each) => ({ ...step, key: `k${each % 30}` }))));
    await log.flush();
    await sink.deliver([], log.committed, signal);
    expect(await sink.connect()).toEqual({ position: 100 });
    expectSame(table, cache);
    const stopped = AbortSignal.abort(new Error('stop'));
    await expect(sink.deliver([], log.committed, stopped)).rejects.toThrow('stop');
    await sink.disconnect();
    await close();
  });
});

describe('an index whose storage fails', () => {
  for (const fate of ['lost', 'unknown'] as const) {
    it(`is whole again after it was reopened: the batch was ${fate}`, async () => {
      const storage = new FaultStorage();
      const { log, index, table, take, close, events } = await openIndex(undefined, { openStorage: storage.open });
      const lost: Error[] = [];
      index.onLost((cause) => lost.push(cause));
      const cache = new Cache();
      const step = { namespace: 'a', value: 1, expiresAt: null, kind: 'set' as const };
      await take(cache.takeAll(Array.from({ length: 50 }, (_, each) => ({ ...step, key: `${each}` }))));
      const more = cache.takeAll(Array.from({ length: 200 }, (_, each) => ({ ...step, key: `more ${each}` })));
      storage.decide = () => {
        storage.decide = () => 'done';
        return fate;
      };
      await expect(take(more)).rejects.toThrow('injected');
      expect([table.checkpoint, table.hydrate('a')?.entries.size]).toEqual([50, 50]);
      expect([events.length, lost.length]).toEqual([1, 1]);
      await expect(index.fold(log.committed)).rejects.toThrow(anError('LOG_UNAVAILABLE'));
      expect(await index.connect()).toBe(fate === 'lost' ? 50 : 250);
      await index.fold(log.committed);
      expectSame(table, cache);
      const chunks = table.past.reader.chunks();
      const ordinals = Array.from({ length: table.past.summary('a')?.count ?? 0 }, (_, ordinal) => ordinal);
      const kept = ordinals.map((ordinal) => table.past.reader.updateAt('a', ordinal, chunks).key);
      expect(kept).toEqual([...(cache.namespaces.get('a')?.entries.keys() ?? [])]);
      await close();
    });
  }

  it('answers from the log while it cannot be opened, and goes on when it can', async () => {
    const storage = new FaultStorage();
    storage.refuseOpen = true;
    const { log, index, table, close, events } = await openIndex(undefined, { openStorage: storage.open });
    log.append(someSets(3));
    await log.flush();
    expect([table.isReadable, table.checkpoint, table.hydrate('n')]).toEqual([false, 0, undefined]);
    await expect(index.connect()).rejects.toThrow('injected');
    storage.refuseOpen = false;
    await index.connect();
    await index.fold(3);
    expect(table.hydrate('n')?.entries.size).toBe(3);
    expect(events.map(({ type }) => type)).toEqual(['failed', 'rebuilding', 'rebuilt']);
    await close();
  });
});

describe('the base', () => {
  const entry = (version: number, value: EntryRecord['value'] = version): EntryRecord => ({
    value,
    version,
    createdAt: version,
    updatedAt: version + 1,
    expiresAt: version % 2 === 0 ? null : 1000 + version,
    agent: null,
    meta: undefined,
    bytes: 8,
  });
  // More than one batch writes.
  const text = 'x'.repeat(6000);
  const large = new Map(Array.from({ length: 1000 }, (_, index) => [`k${index}`, entry(index + 1, text)] as const));
  const namespaces = () => [
    { name: 'large', version: 1000, position: 77, entries: large },
    { name: 'empty', version: 3, position: 50, entries: new Map<string, EntryRecord>() },
    { name: 'elsewhere', version: 1, position: 60, entries: new Map([['k', entry(1)]]) },
  ];

  async function directoryWithBase(): Promise<string> {
    const dataDir = await tempDir('base');
    const directory = await DataDirectory.open({ dataDir, clock: systemClock, sync: false });
    await directory.adopt(namespaces(), 80);
    await directory.close();
    return dataDir;
  }

  it.each([false, true])('fills the index, and the log goes on after it (worker: %s)', async (worker) => {
    const dataDir = await directoryWithBase();
    const { table, index, take, log, close } = await openIndex(dataDir, { worker });
    expect([table.checkpoint, log.head, table.isLoaded]).toEqual([80, 80, false]);
    expect([...table.names()].sort()).toEqual(['elsewhere', 'empty', 'large']);
    expect(table.get('elsewhere', 'k')).toEqual(entry(1));
    expect(new Map(table.hydrate('large')?.entries)).toEqual(large);
    await take([aSet('empty', 4)]);
    expect(table.isLoaded).toBe(true);
    const measures = { version: 1000, position: 77, count: 1000, bytes: 8000, nextExpiryAt: 1001 };
    expect(table.summary('large')).toMatchObject(measures);
    await close();
    const again = await openIndex(dataDir, { worker });
    expect([again.table.checkpoint, again.log.first, again.events]).toEqual([81, 81, []]);
    expect(new Map(again.table.hydrate('large')?.entries)).toEqual(large);
    expect(again.table.get('elsewhere', 'k')).toEqual(entry(1));
    expect(again.table.hydrate('empty')?.version).toBe(4);
    await again.close();
    expect(index.table.isReadable).toBe(false);
  });

  it('is read again if that was interrupted', async () => {
    const dataDir = await directoryWithBase();
    const storage = new FaultStorage();
    let writes = 0;
    storage.decide = () => {
      writes += 1;
      return writes === 3 ? 'unknown' : 'done';
    };
    const { index, table, close } = await openIndex(dataDir, { openStorage: storage.open });
    await expect(index.fold(80).then(() => index.raiseSince(80))).rejects.toThrow('injected');
    expect(table.isLoaded).toBe(false);
    expect(new Map(table.hydrate('large')?.entries)).toEqual(large);
    await close();
    const again = await openIndex(dataDir);
    await again.take([aSet('empty', 4)]);
    expect([...again.table.names()].sort()).toEqual(['elsewhere', 'empty', 'large']);
    expect(new Map(again.table.hydrate('large')?.entries)).toEqual(large);
    await again.close();
  });
});

describe('linear hashing', () => {
  it('moves a key only between a page and its parent when a page is added', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 5000 }), (key, pages) => {
        const before = pageOf(key, pages);
        const after = pageOf(key, pages + 1);
        expect(before).toBeLessThan(pages);
        if (after !== before) expect([before, after]).toEqual([parentOf(pages), pages]);
      }),
    );
  });

  it('spreads keys that look alike', () => {
    const sizes = new Array<number>(64).fill(0);
    for (let i = 0; i < 64 * 16; i += 1) sizes[pageOf(`agent-${i}`, 64)] = (sizes[pageOf(`agent-${i}`, 64)] ?? 0) + 1;
    expect(Math.max(...sizes)).toBeLessThan(40);
  });

  it('has about 16 entries in a page, fewer large ones, and does not alternate', () => {
    expect([pagesFor(1, 0, 0), pagesFor(1, 1, 5e6), pagesFor(1, 16, 16), pagesFor(1, 17, 17)]).toEqual([1, 1, 1, 2]);
    expect([pagesFor(1, 16_000, 1), pagesFor(1000, 15_999, 1), pagesFor(1000, 100, 1)]).toEqual([1000, 1000, 25]);
    expect([pagesFor(1, 10, 10 * 65_536), pagesFor(10, 3, 3), pagesFor(5, 0, 0)]).toEqual([10, 1, 1]);
  });
});
