import fc from 'fast-check';
import {
  createStorage,
  type Driver,
  prefixStorage,
  restoreSnapshot,
  type Storage,
  type StorageValue,
  snapshot,
} from 'unstorage';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ContextStore } from '../../src/index.ts';
import { contextCacheDriver, type ItemChange } from '../../src/unstorage.ts';
import { BOTH_CACHES, type Reached } from '../support/both-caches.ts';
import { fcOptions } from '../support/property.ts';

describe.each(BOTH_CACHES)('a driver over a %s cache', (_, open) => {
  let reached: Reached;
  let storage: Storage;
  const driver = (options = {}) => contextCacheDriver(reached.store, options);
  beforeAll(async () => {
    reached = await open();
  });
  afterAll(() => reached[Symbol.asyncDispose]());
  beforeEach(async () => {
    // Fits the type of unstorage.
    const fits: Driver = driver();
    storage = createStorage({ driver: fits });
    await storage.clear();
  });

  describe("the cases of the repository's own driver test", () => {
    test('restores a snapshot of a storage, and takes one', async () => {
      await restoreSnapshot(storage, { first: 'kept', 'deep:er': { n: 1 } }, 'base');
      expect(await storage.getItem('base:first')).toBe('kept');
      expect(await snapshot(storage, 'base')).toEqual({ first: 'kept', 'deep:er': { n: 1 } });
    });

    test('is empty at first', async () => {
      expect([await storage.hasItem('a:b'), await storage.getItem('a:b'), await storage.getKeys()]).toEqual([
        false,
        null,
        [],
      ]);
    });

    test('sets and gets an item, whatever query follows its key', async () => {
      await storage.setItem('one:a', 'text');
      await storage.setItem('two:a?v=1', 'other');
      expect([await storage.hasItem('one:a'), await storage.getItem('one:a')]).toEqual([true, 'text']);
      expect(await storage.getItem('two/a?v=2')).toBe('other');
    });

    test('lists keys, all or below a base', async () => {
      for (const key of ['two:a', 'one:b', 'one:a', 'one-more']) await storage.setItem(key, 'x');
      expect(await storage.getKeys()).toEqual(['one-more', 'one:a', 'one:b', 'two:a']);
      expect(await storage.getKeys('one')).toEqual(['one:a', 'one:b']);
    });

    test('lists keys to a depth', async () => {
      for (const key of ['top', 'a:middle', 'a:b:low', 'a:b:lower']) await storage.setItem(key, 'x');
      expect(await storage.getKeys(undefined, { maxDepth: 0 })).toEqual(['top']);
      expect(await storage.getKeys(undefined, { maxDepth: 1 })).toEqual(['a:middle', 'top']);
      expect(await storage.getKeys('a', { maxDepth: 2 })).toEqual(['a:b:low', 'a:b:lower', 'a:middle']);
    });

    test.each([
      ['an object', { json: 'works', deep: [null, 1.5] }],
      ['an array', [1, 'two']],
      ['true', true],
      ['false', false],
      ['zero', 0],
      ['null', null],
      ['text', 'text'],
      ['empty text', ''],
      ['text that looks like JSON', '{"a": 1'],
      ['text in quotes', '"quoted"'],
    ])('gets what it has set: %s', async (_name, value) => {
      const reference = createStorage();
      for (const each of [storage, reference]) await each.setItem('item', value);
      expect(await storage.getItem('item')).toEqual(await reference.getItem('item'));
      expect(await storage.getItemRaw('item')).toEqual(await reference.getItemRaw('item'));
      expect(await storage.hasItem('item')).toBe(true);
    });

    test('stores what toJSON returns', async () => {
      await storage.setItem('text', { toJSON: () => 'instead' });
      class Instead {
        toJSON() {
          return { instead: true };
        }
      }
      await storage.setItem('object', new Instead());
      expect(await storage.getItem('object')).toEqual({ instead: true });
    });

    test('refuses an instance that cannot be serialized', async () => {
      class Plain {}
      await expect(storage.setItem('bad', new Plain())).rejects.toThrow('Cannot stringify value');
      expect(await storage.getKeys()).toEqual([]);
    });

    test('keeps bytes, which every tool can read as base64', async () => {
      await storage.setItemRaw('data/raw.bin', new Uint8Array([1, 2, 3]));
      expect(await storage.getItemRaw('data/raw.bin')).toEqual(new Uint8Array([1, 2, 3]));
      expect(await reached.store.get('data:raw.bin', 'unstorage')).toEqual({ $bytes: 'AQID' });
    });

    test('keeps a raw value that is neither text nor bytes', async () => {
      await storage.setItemRaw('raw', { n: [1, new Uint8Array([7])] });
      expect(await storage.getItemRaw('raw')).toEqual({ n: [1, new Uint8Array([7])] });
      expect(await storage.getItemRaw('missing')).toBeNull();
    });

    test('sets several items at once and gets several at once', async () => {
      await storage.setItems<StorageValue>([
        { key: 't:1', value: 'one' },
        { key: 't:2', value: { two: 2 } },
        { key: 't:3?q', value: 3 },
      ]);
      expect(await storage.getItems(['t:3', { key: 't:1?q' }, 't:missing', 't:2'])).toEqual([
        { key: 't:3', value: 3 },
        { key: 't:1', value: 'one' },
        { key: 't:missing', value: null },
        { key: 't:2', value: { two: 2 } },
      ]);
    });

    test('removes an item, with its meta if that is asked for', async () => {
      await storage.setItem('a:b', 'x');
      await storage.setMeta('a:b', { mtime: new Date(0), note: 'n' });
      await storage.removeItem('a:b', false);
      expect([await storage.hasItem('a:b'), await storage.getItem('a:b')]).toEqual([false, null]);
      expect((await storage.getMeta('a:b')).note).toBe('n');
      await storage.removeItem('a:b', true);
      expect((await storage.getMeta('a:b')).note).toBeUndefined();
    });

    test('clears all or what is below a base, also if nothing is there', async () => {
      for (const key of ['a:x', 'a:y', 'ab', 'b:x']) await storage.setItem(key, 'x');
      // A storage clears mounts as a whole, and gives a driver no base.
      await driver().clear('a:');
      expect(await storage.getKeys()).toEqual(['ab', 'b:x']);
      await storage.clear();
      await storage.clear();
      expect(await storage.getKeys()).toEqual([]);
    });
  });

  test("answers as the storage's own driver does", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        await storage.clear();
        const reference = createStorage();
        for (const run of steps) expect(await run(storage)).toEqual(await run(reference));
      }),
      fcOptions(60),
    );
  });

  test('lists keys page by page, in both directions', async () => {
    await storage.setItems(['e', 'd', 'c', 'b', 'a', 'a:deep'].map((key) => ({ key: `p:${key}`, value: 1 })));
    await storage.setMeta('p:a', { note: 'not a key' });
    for (const [reverse, all] of [
      [false, ['p:a', 'p:a:deep', 'p:b', 'p:c', 'p:d', 'p:e']],
      [true, ['p:e', 'p:d', 'p:c', 'p:b', 'p:a:deep', 'p:a']],
    ] as const) {
      const pages: string[][] = [];
      let page: string[] = [];
      do {
        page = await storage.getKeys('p', { limit: 4, reverse, after: page.at(-1) });
        pages.push(page);
      } while (page.length > 0);
      expect(pages).toEqual([all.slice(0, 4), all.slice(4), []]);
    }
    expect(await storage.getKeys('p', { limit: 3, maxDepth: 1, after: 'p:a' })).toEqual(['p:b', 'p:c', 'p:d']);
    expect(await storage.getKeys('p', { limit: 0 })).toEqual([]);
    await expect(storage.getKeys('p', { limit: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  test('mounts at a base, beside others', async () => {
    const mounted = createStorage().mount('mem', driver({ namespace: ['app', 'mem'] }));
    await prefixStorage(mounted, 'mem').setItem('x', { n: 1 });
    await mounted.setItem('other', 1);
    expect(await mounted.getKeys()).toEqual(['mem:x', 'other']);
    expect(await reached.store.entries(['app', 'mem'])).toMatchObject([{ key: 'x', value: { n: 1 } }]);
  });

  test('expires items after seconds, by call, by item or by driver', async () => {
    const short = createStorage({ driver: driver({ ttl: 0.03 }) });
    await short.setItem('soon', 1);
    await short.setItem('later', 1, { ttl: 60 });
    await short.setItemRaw('never', 1, { ttl: 0 });
    await short.setItems([{ key: 'soon too', value: 1, options: { ttl: 0.03 } }], { ttl: 60 });
    expect((await short.getMeta('later')).ttl).toBe(60);
    await expect.poll(() => short.getKeys()).toEqual(['later', 'never']);
    await expect(short.setItem('x', 1, { ttl: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(short.setItems([{ key: 'x', value: 1, options: { ttl: Number.NaN } }])).rejects.toThrow('ttl must be');
    expect(await short.hasItem('x')).toBe(false);
  });

  test('has the meta of an item', async () => {
    const before = Date.now();
    await reached.store.set('item', 'text', 'unstorage', { agent: 'planner' });
    const { mtime, birthtime, agent, version, ttl } = await storage.getMeta('item');
    expect([Number(mtime) >= before, Number(birthtime) >= before, agent, typeof version, ttl]).toEqual([
      ...[true, true, 'planner', 'number'],
      undefined,
    ]);
    expect(await storage.getMeta('missing')).toEqual({});
  });

  test('watches changes by all writers, with old and new values', async () => {
    await storage.setItem('before', 'there');
    const own = driver();
    const changes: [string, string, ItemChange][] = [];
    const events: [string, string][] = [];
    const unwatch = own.watch((event, key, change) => changes.push([event, key, change]));
    await storage.watch((event, key) => events.push([event, key]));
    await storage.setItem('before', { n: 1 });
    await storage.setItemRaw('bytes', new Uint8Array([1]));
    await reached.cache.set('before', 'by another', 'unstorage');
    await reached.cache.touch('before', 'unstorage', { ttl: '1h' });
    await storage.setItem('soon', 1, { ttl: 0.02 });
    await expect.poll(() => changes.length).toBe(5);
    await storage.removeItem('before');
    await storage.clear();
    const expected = [
      ['update', 'before', { value: '{"n":1}', previous: 'there' }],
      ['update', 'bytes', { value: new Uint8Array([1]), previous: undefined }],
      ['update', 'before', { value: 'by another', previous: '{"n":1}' }],
      ['update', 'soon', { value: '1', previous: undefined }],
      ['remove', 'soon', { value: undefined, previous: '1' }],
      ['remove', 'before', { value: undefined, previous: 'by another' }],
      ['remove', 'bytes', { value: undefined, previous: new Uint8Array([1]) }],
    ];
    await expect.poll(() => changes).toEqual(expected);
    await expect.poll(() => events).toEqual(expected.map(([event, key]) => [event, key]));
    await storage.setItem('dir:a', 1);
    await own.clear('dir:');
    await expect
      .poll(() => changes.slice(7))
      .toEqual([
        ['update', 'dir:a', { value: '1', previous: undefined }],
        ['remove', 'dir:a', { value: undefined, previous: '1' }],
      ]);
    await expect.poll(() => events.length).toBe(9);
    unwatch();
    await storage.dispose();
    await storage.setItem('after', 1);
    expect([changes.length, events.length]).toEqual([9, 9]);
  });

  test('goes on with what is there after more changes than a watch can hold', async () => {
    await storage.setItem('gone', 'soon');
    const own = driver();
    const seen = new Map<string, unknown>();
    const unwatch = own.watch((_, key, { value }) => {
      if (value === undefined) seen.delete(key);
      else seen.set(key, value);
    });
    await storage.setItem('kept', 'before');
    await expect.poll(() => seen.get('kept')).toBe('before');
    // In one turn, in which no watcher can read.
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`n${n}`, `v${n}`]));
    const written = [
      reached.cache.setMany(many, 'unstorage'),
      reached.cache.delete('gone', 'unstorage'),
      reached.cache.set('kept', 'after', 'unstorage'),
    ];
    await Promise.all(written);
    await expect.poll(() => seen.size, { timeout: 10_000 }).toBe(20_001);
    expect(Object.fromEntries(seen)).toEqual({ ...many, kept: 'after' });
    await storage.setItem('n0', 'later');
    await expect.poll(() => seen.get('n0')).toBe('later');
    unwatch();
  });

  test("rejects with the cache's error, before anything has changed", async () => {
    await expect(storage.setItemRaw('date', new Date(0))).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    await expect(storage.setItem('half \ud83d', 1)).rejects.toMatchObject({ code: 'INVALID_NAME' });
    await expect(
      storage.setItems([
        { key: 'fine', value: 1 },
        { key: 'half \ud83d', value: 1 },
      ]),
    ).rejects.toMatchObject({ code: 'INVALID_NAME' });
    expect(await storage.getKeys()).toEqual([]);
  });
});

test.each([
  [{ namespaces: 'x' }, 'Did you mean namespace?'],
  [{ namespace: '' }, 'namespace must not be empty'],
  [{ namespace: [] }, 'namespace must not be empty'],
  [{ ttl: '1h' }, 'ttl must be a number of seconds'],
])('refuses the options %j', async (options, message) => {
  await using reached = await BOTH_CACHES[0][1]();
  expect(() => contextCacheDriver(reached.store, options as object)).toThrow(message);
});

test('refuses what is no cache', () => {
  expect(() => contextCacheDriver(new Map() as unknown as ContextStore)).toThrow('takes a cache');
});

type Run = (storage: Storage) => unknown;
const key = fc.constantFrom('x', 'y', 'a:x', 'a:b:x', 'a', 'é😀', '__proto__', 'a:$x');
const base = fc.constantFrom(undefined, 'a', 'a:b', 'x');
const value = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom('half \ud83d', '{"n":9223372036854775807}', ' {}', { $raw: 1 }, { $bytes: 'AA==' }),
);
const step: fc.Arbitrary<Run> = fc.oneof(
  fc.tuple(key, value).map(
    ([k, v]): Run =>
      (storage) =>
        storage.setItem(k, v),
  ),
  key.map(
    (k): Run =>
      (storage) =>
        storage.getItem(k),
  ),
  key.map(
    (k): Run =>
      (storage) =>
        storage.getItemRaw(k),
  ),
  key.map(
    (k): Run =>
      (storage) =>
        storage.hasItem(k),
  ),
  key.map(
    (k): Run =>
      (storage) =>
        storage.removeItem(k),
  ),
  fc.array(key).map(
    (keys): Run =>
      (storage) =>
        storage.getItems(keys),
  ),
  fc.array(fc.record({ key, value })).map(
    (items): Run =>
      (storage) =>
        storage.setItems(items),
  ),
  base.map(
    (b): Run =>
      async (storage) =>
        (await storage.getKeys(b)).sort(),
  ),
  fc.nat(2).map(
    (maxDepth): Run =>
      async (storage) =>
        (await storage.getKeys('', { maxDepth })).sort(),
  ),
  // The storage's own driver clears everything, whatever the base.
  fc.constant<Run>((storage) => storage.clear()),
);
