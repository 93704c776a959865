import { keyvApiTests, keyvIteratorTests, keyvNamespaceTest, keyvValueTests } from '@keyv/test-suite';
import { createCache } from 'cache-manager';
import { Cacheable } from 'cacheable';
import fc from 'fast-check';
import Keyv from 'keyv';
import Keyv6 from 'keyv-6';
import * as runner from 'vitest';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ContextStore } from '../../src/index.ts';
import { KeyvContextCache } from '../../src/keyv.ts';
import { BOTH_CACHES, type Reached } from '../support/both-caches.ts';
import { fcOptions } from '../support/property.ts';

/** The common surface of Keyv 5 and 6. */
interface AnyKeyv {
  get(key: string): Promise<unknown>;
  getMany(keys: string[]): Promise<unknown>;
  has(key: string): Promise<boolean>;
  hasMany(keys: string[]): Promise<boolean[]>;
  set(key: string, value: unknown, ttl?: number): Promise<boolean>;
  setMany(entries: { key: string; value: unknown; ttl?: number }[]): Promise<boolean[]>;
  delete(key: string): Promise<boolean>;
  deleteMany(keys: string[]): Promise<boolean | boolean[]>;
  clear(): Promise<void>;
  iterator?: (argument?: unknown) => AsyncGenerator<unknown>;
}

type Options = { readonly namespace?: string; readonly raw?: boolean };

/** Creates a Keyv of each version over a store, or over its own. Failures reject. */
const VERSIONS = {
  5(store: unknown = new Map(), { namespace = 'a', raw = false }: Options = {}): AnyKeyv {
    const codec = raw ? { serialize: undefined, deserialize: undefined } : {};
    return new Keyv({ store, namespace, throwOnErrors: true, ...codec } as object);
  },
  6(store: unknown = new Map(), { namespace = 'a', raw = false }: Options = {}): AnyKeyv {
    const keyv = new Keyv6({ store, namespace, ...(raw ? { serialization: false } : {}) });
    keyv.on('error', (error) => {
      throw error;
    });
    return keyv as AnyKeyv;
  },
} as const;

const listed = async (keyv: AnyKeyv): Promise<[string, unknown][]> => {
  const found: [string, unknown][] = [];
  for await (const each of keyv.iterator?.({}) ?? []) found.push(each as [string, unknown]);
  return found.sort(([a], [b]) => (a < b ? -1 : 1));
};

describe.each(BOTH_CACHES)('over a %s cache', (_, open) => {
  let reached: Reached;
  const store = (options?: { readonly namespace?: string | readonly string[] }) =>
    new KeyvContextCache(reached.store, options);
  beforeAll(async () => {
    reached = await open();
  });
  afterAll(() => reached[Symbol.asyncDispose]());

  describe("Keyv's own suite", () => {
    describe('API', () => keyvApiTests(runner as never, Keyv, store));
    describe('values', () => keyvValueTests(runner as never, Keyv, store));
    describe('namespaces', () => keyvNamespaceTest(runner as never, Keyv, store));
    describe('iterator', () => keyvIteratorTests(runner as never, Keyv, store));
  });

  describe.each([5, 6] as const)('Keyv %i', (version) => {
    const make = VERSIONS[version];
    const clear = () => Promise.all(['a', 'b'].map((namespace) => make(store(), { namespace }).clear()));

    test.each([
      ['serialized', false],
      ['raw', true],
    ])("answers as Keyv's own store does, values %s", async (_name, raw) => {
      await fc.assert(
        fc.asyncProperty(fc.array(raw ? rawStep : step, { maxLength: 20 }), async (steps) => {
          await clear();
          const [ours, theirs] = [store, () => undefined].map((own) =>
            ['a', 'b'].map((namespace) => make(own(), { namespace, raw })),
          ) as [AnyKeyv[], AnyKeyv[]];
          for (const [which, run] of steps) {
            expect(await run(ours[which] as AnyKeyv)).toEqual(await run(theirs[which] as AnyKeyv));
          }
        }),
        fcOptions(60),
      );
    });

    test('clears and lists one namespace, whatever is in the names', async () => {
      await clear();
      const keyvs = ['a', 'a:b', 'a/', ''].map((namespace) => make(store(), { namespace }));
      for (const [index, keyv] of keyvs.entries()) await keyv.set('b:x', index);
      await keyvs[0]?.clear();
      expect(await Promise.all(keyvs.map((keyv) => keyv.get('b:x')))).toEqual([undefined, 1, 2, 3]);
      expect(await reached.store.listKeys('keyv/a:b/')).toEqual(['b:x']);
      for (const keyv of keyvs) await keyv.clear();
    });

    test('stores the JSON that Keyv has written as JSON, with an expiry', async () => {
      await clear();
      const keyv = make(store());
      const before = Date.now();
      await keyv.set('x', { name: 'Ann' }, 60_000.5);
      await keyv.setMany([{ key: 'y', value: 'half \ud83d', ttl: 60_000 }]);
      const entry = await reached.store.entry('x', ['keyv', 'a']);
      expect(entry?.value).toEqual({ value: { name: 'Ann' }, expires: expect.any(Number) });
      expect(entry?.expiresAt).toBeGreaterThanOrEqual(before + 60_000);
      expect(entry?.expiresAt).toBeLessThanOrEqual(Date.now() + 60_001);
      expect(await reached.store.get('y', ['keyv', 'a'])).toMatchObject({ value: { $text: '"half \\ud83d"' } });
      expect(await keyv.get('y')).toBe('half \ud83d');
    });

    test('expires in the cache, and at once what expires in the past', async () => {
      await clear();
      const keyv = make(store());
      await keyv.set('soon', 1, 30);
      await keyv.setMany([{ key: 'soon too', value: 1, ttl: 30 }]);
      await keyv.set('never', 1, Number.POSITIVE_INFINITY);
      if (version === 5) await keyv.set('past', 1, -1);
      await expect.poll(() => reached.store.listKeys(['keyv', 'a'])).toEqual(['never']);
      expect(await keyv.get('past')).toBeUndefined();
    });

    test("rejects with the cache's error, before anything has changed", async () => {
      await clear();
      const keyv = make(store(), { raw: true });
      await expect(keyv.set('x', new Date(0))).rejects.toMatchObject({ code: 'INVALID_VALUE' });
      await expect(
        keyv.setMany([
          { key: 'x', value: 1 },
          { key: 'y', value: new Date(0) },
        ]),
      ).rejects.toMatchObject({ code: 'INVALID_VALUE' });
      await expect(keyv.set('half \ud83d', 1)).rejects.toMatchObject({ code: 'INVALID_NAME' });
      expect(await listed(keyv)).toEqual([]);
    });
  });

  test('keeps what several of Keyv 5 write through one store apart', async () => {
    const shared = store();
    const [a, b] = ['shared a', 'shared b'].map((namespace) => VERSIONS[5](shared, { namespace })) as [
      AnyKeyv,
      AnyKeyv,
    ];
    await a.set('x', 1);
    await b.set('x', 2);
    expect([await a.get('x'), await b.get('x'), await a.getMany(['x', 'y'])]).toEqual([1, 2, [1, undefined]]);
  });

  test('refuses a second Keyv 6 with another namespace, whose keys it could not keep apart', () => {
    const shared = store();
    const keyv = new Keyv6({ store: shared, namespace: 'a' });
    keyv.namespace = 'b';
    expect(() => new Keyv6({ store: shared, namespace: 'a' })).toThrow('Create a KeyvContextCache for each Keyv');
    expect(new Keyv6({ store: shared }).namespace).toBe('b');
  });

  test('keeps the data of Keyv 5 where Keyv 6 finds it', async () => {
    await VERSIONS[5](store(), { namespace: 'moved' }).set('x', { n: 1 });
    expect(await VERSIONS[6](store(), { namespace: 'moved' }).get('x')).toEqual({ n: 1 });
  });

  test('refuses keys without the namespace that they belong to', async () => {
    const keyv = new Keyv({ store: store(), namespace: 'a', useKeyPrefix: false, throwOnErrors: true });
    keyv.on('error', () => {});
    await expect(keyv.set('x', 1)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    const whole = new Keyv({ store: store({ namespace: ['app', 'whole'] }), namespace: '', useKeyPrefix: false });
    await whole.set('x', 1);
    expect([await whole.get('x'), await reached.store.listKeys('app/whole/')]).toEqual([1, ['x']]);
  });

  test('is a store of cacheable, which keeps what its memory forgets', async () => {
    const secondary = () => new Keyv({ store: store(), namespace: 'cacheable' });
    const first = new Cacheable({ secondary: secondary() });
    await first.set('x', { n: 1 }, '1h');
    const second = new Cacheable({ secondary: secondary() });
    expect(await second.get('x')).toEqual({ n: 1 });
    await second.delete('x');
    expect(await new Cacheable({ secondary: secondary() }).get('x')).toBeUndefined();
  });

  test('is a store of cache-manager', async () => {
    const cache = createCache({ stores: [new Keyv({ store: store(), namespace: 'manager' })] });
    let made = 0;
    const make = async () => ({ made: ++made });
    await Promise.all([cache.wrap('x', make, 60_000), cache.wrap('x', make, 60_000)]);
    expect([await cache.get('x'), await cache.mget(['x', 'y'])]).toEqual([{ made: 1 }, [{ made: 1 }, undefined]]);
    await cache.clear();
    expect(await reached.store.listKeys(['keyv', 'manager'])).toEqual([]);
  });
});

test.each([
  [{ namespaces: 'x' }, 'Did you mean namespace?'],
  [{ namespace: 'a/b' }, "namespace must have no '/'"],
  [{ namespace: [] }, 'at least one part'],
])('refuses the options %j', async (options, message) => {
  await using reached = await BOTH_CACHES[0][1]();
  expect(() => new KeyvContextCache(reached.store, options as object)).toThrow(message);
});

test('refuses what is no cache', () => {
  expect(() => new KeyvContextCache(new Map() as unknown as ContextStore)).toThrow('takes a cache');
});

type Run = (keyv: AnyKeyv) => unknown;

function steps(value: fc.Arbitrary<unknown>): fc.Arbitrary<[number, Run]> {
  const key = fc.constantFrom('x', 'y', '__proto__', 'é😀', 'z:a:x');
  const entries = fc.uniqueArray(fc.record({ key, value }), { selector: (entry) => entry.key, minLength: 1 });
  const keys = fc.uniqueArray(key, { minLength: 1 });
  return fc.tuple(
    fc.constantFrom(0, 1),
    fc.oneof(
      fc.tuple(key, value).map(
        ([k, v]): Run =>
          (keyv) =>
            keyv.set(k, v),
      ),
      key.map(
        (k): Run =>
          (keyv) =>
            keyv.get(k),
      ),
      key.map(
        (k): Run =>
          (keyv) =>
            keyv.has(k),
      ),
      key.map(
        (k): Run =>
          (keyv) =>
            keyv.delete(k),
      ),
      keys.map(
        (some): Run =>
          (keyv) =>
            keyv.getMany(some),
      ),
      keys.map(
        (some): Run =>
          (keyv) =>
            keyv.hasMany(some),
      ),
      keys.map(
        (some): Run =>
          (keyv) =>
            keyv.deleteMany(some),
      ),
      entries.map(
        (some): Run =>
          (keyv) =>
            keyv.setMany(some),
      ),
      fc.constant<Run>((keyv) => keyv.clear()),
      fc.constant<Run>(listed),
    ),
  );
}

const unusual = fc.constantFrom('\ud83d', ':base64:no', JSON.parse('{"__proto__":{"x":1},"2":0,"1":0}'), {
  $raw: 1,
  $bytes: 'AA==',
});
const step = steps(
  fc.oneof(
    fc.jsonValue(),
    unusual,
    fc.constant(undefined),
    fc.uint8Array({ maxLength: 4 }).map((some) => Buffer.from(some)),
  ),
);
/** Without -0, which JSON does not have. */
const rawStep = steps(
  fc.oneof(fc.jsonValue(), unusual, fc.uint8Array({ maxLength: 4 })).map((some) => {
    return some instanceof Uint8Array ? some : JSON.parse(JSON.stringify(some));
  }),
);
