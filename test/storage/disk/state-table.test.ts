import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/core/encoding/digest.ts';
import type { EntryRecord, NamespaceState } from '../../../src/core/namespace-state.ts';
import { createUpdate, type PendingUpdate } from '../../../src/core/update.ts';
import { Checkpointer } from '../../../src/storage/disk/checkpointer.ts';
import { LevelLog } from '../../../src/storage/disk/log/level-log.ts';
import { pageOf, pagesFor, parentOf } from '../../../src/storage/disk/state/state-hash.ts';
import { StateTable, type StateTableOptions } from '../../../src/storage/disk/state/state-table.ts';
import { FaultStorage } from '../../support/fault-storage.ts';
import { aSet, aStep, Cache, someSets } from '../../support/log.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { fcOptions } from '../../support/property.ts';
import { removeTempDir, tempDir } from '../../support/temp-dir.ts';
import { eventually } from '../../support/waiting.ts';

const anError = (code: string) => expect.objectContaining({ code });

async function open(dataDir?: string, options: StateTableOptions = {}) {
  const path = dataDir ?? (await tempDir('state'));
  const log = await LevelLog.open({ dataDir: path, sync: false });
  const table = await StateTable.open(log, options).catch(async (error) => {
    await log.close();
    throw error;
  });
  return { log, table, dataDir: path };
}

/** Appends to the log, and updates the table. */
async function take(log: LevelLog, table: StateTable, updates: readonly PendingUpdate[]): Promise<void> {
  log.append(updates);
  await log.flush();
  await table.applyUpdates(updates, log.head);
}

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

describe('StateTable', () => {
  it('is the fold of the log, whatever the batches, also when reopened', async () => {
    const plan = fc.array(fc.array(aStep(40), { maxLength: 120, size: 'max' }), { maxLength: 6 });
    const scenario = fc.asyncProperty(plan, fc.boolean(), async (batches, reopen) => {
      let { log, table, dataDir } = await open();
      const cache = new Cache();
      for (const batch of batches) {
        await take(log, table, cache.takeAll(batch));
        expect(table.checkpoint).toBe(log.head);
        expectSame(table, cache);
        if (!reopen) continue;
        await log.close();
        ({ log, table } = await open(dataDir));
        expect(table.checkpoint).toBe(log.head);
        expectSame(table, cache);
      }
      await log.close();
      removeTempDir(dataDir);
    });
    await fc.assert(scenario, fcOptions(60));
  });

  it('grows and shrinks with a namespace, and reads it whole at each size', async () => {
    const { log, table } = await open();
    const cache = new Cache();
    const step = { namespace: 'a', value: 'v', expiresAt: null };
    const keys = Array.from({ length: 3000 }, (_, index) => `key ${index}`);
    for (let i = 0; i < keys.length; i += 500) {
      await take(
        log,
        table,
        cache.takeAll(keys.slice(i, i + 500).map((key) => ({ ...step, key, kind: 'set' as const }))),
      );
      expectSame(table, cache);
    }
    for (let i = 0; i < keys.length; i += 700) {
      await take(
        log,
        table,
        cache.takeAll(keys.slice(i, i + 700).map((key) => ({ ...step, key, kind: 'remove' as const }))),
      );
      expectSame(table, cache);
    }
    await take(log, table, cache.takeAll(keys.map((key) => ({ ...step, key, kind: 'set' as const }))));
    await take(log, table, cache.takeAll([{ ...step, key: '', kind: 'clear' as const }]));
    expectSame(table, cache);
    const left = await log.directory.entries({ gte: '!state!p/', lt: '!state!p0' });
    expect(left).toEqual([]);
    await log.close();
  });

  it('skips updates that it has, and refuses updates that do not follow', async () => {
    const { log, table } = await open();
    const updates = someSets(4);
    await take(log, table, updates.slice(0, 2));
    log.append(updates.slice(2));
    await log.flush();
    await table.applyUpdates(updates, 4);
    expect(table.summary('n')).toMatchObject({ version: 4, count: 4 });
    await expect(table.applyUpdates([{ ...aSet('n', 6), position: 5 }], 5)).rejects.toThrow(anError('INVARIANT'));
    expect(table.checkpoint).toBe(4);
    await log.close();
  });

  it('takes one batch after another, in the order of the calls', async () => {
    const { log, table } = await open();
    const updates = someSets(6);
    log.append(updates);
    await log.flush();
    const reached: number[] = [];
    const apply = (from: number, to: number) =>
      table.applyUpdates(updates.slice(from, to), to).then(() => reached.push(table.checkpoint));
    const refused = expect(table.applyUpdates([{ ...aSet('n', 9), position: 1 }], 1)).rejects.toThrow(
      anError('INVARIANT'),
    );
    await Promise.all([refused, apply(0, 2), apply(2, 3), apply(3, 6)]);
    expect(reached).toEqual([2, 3, 6]);
    expect(table.summary('n')).toMatchObject({ version: 6, count: 6 });
    await log.close();
  });

  it('shows readers one state or the next while a batch is being written, never a mixture', async () => {
    const { log, table } = await open();
    const cache = new Cache();
    const step = { namespace: 'a', value: 'v', expiresAt: null, kind: 'set' as const };
    let looks = 0;
    for (let round = 0; round < 10; round += 1) {
      const updates = cache.takeAll(Array.from({ length: 200 }, (_, index) => ({ ...step, key: `${round}/${index}` })));
      log.append(updates);
      await log.flush();
      let done = false;
      const applying = table.applyUpdates(updates, log.head).finally(() => {
        done = true;
      });
      while (!done) {
        const expected = table.checkpoint;
        expect(table.hydrate('a')?.entries.size ?? 0).toBe(expected);
        expect(table.get('a', `${round}/7`) !== undefined).toBe(expected === log.head);
        looks += 1;
        await new Promise((resolve) => setImmediate(resolve));
      }
      await applying;
      expect(table.hydrate('a')?.entries.size).toBe(log.head);
    }
    expect(looks).toBeGreaterThan(10);
    await log.close();
  });

  it('keeps everything but the values if a primary keeps those', async () => {
    const { log, table, dataDir } = await open(undefined, { keepValues: false });
    const touch = createUpdate({
      namespace: 'n',
      version: 2,
      operation: 'touch',
      key: 'k1',
      at: 5,
      expiresAt: 99,
      replaced: 1,
    });
    await take(log, table, [aSet('n', 1), touch]);
    await log.close();
    const again = await open(dataDir, { keepValues: false });
    const entry = again.table.get('n', 'k1');
    expect(entry).toEqual({
      value: undefined,
      version: 2,
      createdAt: 1001,
      updatedAt: 5,
      expiresAt: 99,
      agent: null,
      bytes: 16,
    });
    await again.log.close();
  });

  it('stops when the signal aborts, with nothing changed', async () => {
    const { log, table } = await open(undefined, { clock: { ...new ManualClock(), now: countUp() } as never });
    const updates = someSets(500);
    log.append(updates);
    await log.flush();
    const reason = new Error('stop');
    await expect(table.applyUpdates(updates, 500, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect([table.checkpoint, [...table.names()]]).toEqual([0, []]);
    await table.applyUpdates(updates, 500);
    expect(table.checkpoint).toBe(500);
    await log.close();
  });

  it('refuses a damaged page', async () => {
    const { log, table } = await open();
    await take(log, table, someSets(3));
    const [[key, bytes] = ['', new Uint8Array()]] = await log.directory.entries({ gte: '!state!p/', lt: '!state!p0' });
    const damaged = Uint8Array.from(bytes);
    damaged[9] = (damaged[9] ?? 0) ^ 1;
    await log.directory.write([{ type: 'put', key, value: damaged }], false);
    expect(() => table.get('n', 'k1')).toThrow(anError('LOG_CORRUPT'));
    expect(() => table.hydrate('n')).toThrow(anError('LOG_CORRUPT'));
    await log.close();
  });

  it('refuses a log that ends before it', async () => {
    const { log, table, dataDir } = await open();
    await take(log, table, someSets(3));
    await log.directory.write([{ type: 'del', key: '!log!0000000000000001' }], false);
    await log.close();
    await expect(open(dataDir)).rejects.toThrow(anError('LOG_CORRUPT'));
  });
});

describe('the checkpointer', () => {
  it('updates the table to the log, and continues at its checkpoint', async () => {
    const { log, table } = await open();
    const sink = new Checkpointer(table);
    const { signal } = new AbortController();
    expect(await sink.connect()).toEqual({ position: 0 });
    const cache = new Cache();
    const step = { namespace: 'a', value: 1, expiresAt: null, kind: 'set' as const };
    const updates = cache.takeAll(Array.from({ length: 100 }, (_, index) => ({ ...step, key: `k${index % 30}` })));
    log.append(updates);
    await log.flush();
    const follower = log.follower(Checkpointer.follower);
    const batch = await follower.read(sink.batchSize);
    await sink.deliver(batch?.updates ?? [], batch?.through ?? 0, signal);
    expect(await sink.connect()).toEqual({ position: 100 });
    expectSame(table, cache);
    await sink.disconnect();
    await log.close();
  });
});

describe('a table whose storage fails', () => {
  for (const fate of ['lost', 'unknown'] as const) {
    it(`is whole again after it was reopened: the batch was ${fate}`, async () => {
      const storage = new FaultStorage();
      const clock = new ManualClock();
      const dataDir = await tempDir('state');
      const log = await LevelLog.open({ dataDir, clock, openStorage: storage.open });
      const table = await StateTable.open(log);
      const cache = new Cache();
      const step = { namespace: 'a', value: 1, expiresAt: null, kind: 'set' as const };
      await take(log, table, cache.takeAll(Array.from({ length: 50 }, (_, index) => ({ ...step, key: `${index}` }))));
      const more = cache.takeAll(Array.from({ length: 200 }, (_, index) => ({ ...step, key: `more ${index}` })));
      log.append(more);
      await log.flush();
      storage.decide = () => {
        storage.decide = () => 'done';
        return fate;
      };
      await expect(table.applyUpdates(more, log.head)).rejects.toThrow(anError('OUTCOME_UNKNOWN'));
      expect([table.checkpoint, table.hydrate('a')?.entries.size]).toEqual([50, 50]);
      expect(log.status).toBe('degraded');
      await expect(table.applyUpdates(more, log.head)).rejects.toThrow(anError('LOG_UNAVAILABLE'));
      await eventually(() => {
        clock.advance(5000);
        expect(log.status).toBe('ready');
      });
      expect(table.checkpoint).toBe(fate === 'lost' ? 50 : 250);
      await table.applyUpdates(more, log.head);
      expectSame(table, cache);
      const chunks = table.past.reader();
      const ordinals = Array.from({ length: table.past.summary('a')?.count ?? 0 }, (_, ordinal) => ordinal);
      const kept = ordinals.map((ordinal) => table.past.updateAt('a', ordinal, chunks).key);
      expect(kept).toEqual([...(cache.namespaces.get('a')?.entries.keys() ?? [])]);
      await log.close();
    });
  }
});

describe('adopting a snapshot', () => {
  const entry = (version: number, value: EntryRecord['value'] = version): EntryRecord => ({
    value,
    version,
    createdAt: version,
    updatedAt: version + 1,
    expiresAt: version % 2 === 0 ? null : 1000 + version,
    agent: null,
    bytes: 8,
  });
  // More than one batch writes.
  const text = 'x'.repeat(6000);
  const large = new Map(Array.from({ length: 1000 }, (_, index) => [`k${index}`, entry(index + 1, text)] as const));
  const namespaces = () => [
    { name: 'large', version: 1000, position: 77, entries: large },
    { name: 'empty', version: 3, position: 50, entries: new Map<string, EntryRecord>() },
    { name: 'elsewhere', version: 1, position: 60, entries: new Map([['k', entry(1, undefined)]]) },
  ];

  it('fills the table, and the log starts after it', async () => {
    const { log, table, dataDir } = await open();
    await table.adopt(namespaces(), 80);
    await log.beginAfter(80);
    expect([table.checkpoint, log.head]).toEqual([80, 80]);
    expect(table.summary('large')).toMatchObject({
      version: 1000,
      position: 77,
      count: 1000,
      bytes: 8000,
      nextExpiryAt: 1001,
    });
    await take(log, table, [aSet('empty', 4)]);
    await log.close();
    const again = await open(dataDir);
    expect([again.table.checkpoint, again.log.first]).toEqual([81, 81]);
    expect(new Map(again.table.hydrate('large')?.entries)).toEqual(large);
    expect(again.table.get('elsewhere', 'k')).toEqual(entry(1, undefined));
    expect(again.table.hydrate('empty')?.version).toBe(4);
    await again.log.close();
  });

  it('is finished by the next open if only the start of the log was missing', async () => {
    const { log, table, dataDir } = await open();
    await table.adopt(namespaces(), 80);
    await log.close();
    const again = await open(dataDir);
    expect([again.table.checkpoint, again.log.head, again.log.first]).toEqual([80, 80, 81]);
    await again.log.close();
  });

  it('leaves an empty table when it fails, at once and for the next open', async () => {
    const failing = function* () {
      yield* namespaces();
      throw new Error('the snapshot ends here');
    };
    const { log, table, dataDir } = await open();
    await expect(table.adopt(failing(), 80)).rejects.toThrow('the snapshot ends here');
    expect([...table.names()]).toEqual([]);
    await log.close();
    const again = await open(dataDir);
    expect([again.table.checkpoint, [...again.table.names()]]).toEqual([0, []]);
    await expect(again.table.adopt(failing(), 80)).rejects.toThrow('the snapshot ends here');
    await take(again.log, again.table, someSets(2));
    await again.log.close();
    const last = await open(dataDir);
    expect([...last.table.names()]).toEqual(['n']);
    expect(last.table.hydrate('n')?.entries.size).toBe(2);
    expect((await last.log.directory.entries({ gte: '!state!p/', lt: '!state!p0' })).length).toBe(1);
    await expect(last.table.adopt(namespaces(), 80)).rejects.toThrow(anError('NOT_EMPTY'));
    await last.log.close();
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

/** A clock on which every read takes longer than a slice of work. */
function countUp(): () => number {
  let now = 0;
  return () => {
    now += 10;
    return now;
  };
}
