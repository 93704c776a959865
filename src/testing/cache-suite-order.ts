import assert from 'node:assert/strict';
import { joinNamespace } from '../core/namespace-parts.ts';
import type { RangeOptions } from '../core/range.ts';
import { failureOf } from './cache-suite-values.ts';
import type { CacheCheck, SuiteCache, SuiteHandle, SuiteView } from './served-cache.ts';

/** Names on both sides of the surrogates, in order of code point. JavaScript's own order has the last two first. */
const ORDERED = [
  '\0',
  'a',
  'a\0',
  'a/',
  'a/1',
  'a/2',
  'ab',
  'b',
  '\u{d7ff}',
  '\u{e000}',
  '\u{ffff}',
  '\u{10000}',
  '\u{10ffff}',
];

const RANGES: readonly (readonly [options: RangeOptions, names: readonly string[]])[] = [
  [{}, ORDERED],
  [{ reverse: true }, ORDERED.toReversed()],
  [{ limit: 0 }, []],
  [{ limit: 2 }, ['\0', 'a']],
  [{ reverse: true, limit: 2 }, ['\u{10ffff}', '\u{10000}']],
  [{ prefix: 'a/' }, ['a/', 'a/1', 'a/2']],
  [{ prefix: 'a', after: 'a/', limit: 2 }, ['a/1', 'a/2']],
  [{ prefix: 'a', reverse: true, after: 'a/1' }, ['a/', 'a\0', 'a']],
  [{ prefix: '' }, ORDERED],
  [{ prefix: '\u{10ffff}' }, ['\u{10ffff}']],
  [{ prefix: 'none' }, []],
  [{ from: 'a/1', to: 'b' }, ['a/1', 'a/2', 'ab', 'b']],
  [{ from: 'a/1', to: 'b', reverse: true, limit: 3 }, ['b', 'ab', 'a/2']],
  [{ from: '\u{ffff}' }, ['\u{ffff}', '\u{10000}', '\u{10ffff}']],
  [{ to: '\u{e000}', from: 'ac' }, ['b', '\u{d7ff}', '\u{e000}']],
  [{ from: 'b', to: 'a' }, []],
  [{ prefix: 'a', to: 'a/1', from: 'a/' }, ['a/', 'a/1']],
];

const REFUSED: readonly unknown[] = [
  ...[{ limit: -1 }, { limit: 1.5 }, { limit: '1' }, { limit: null }, { reverse: 1 }, { prefix: 1 }, { prefix: null }],
  ...[{ prefix: ['a'] }, { from: {} }, { to: [] }, { after: 5 }, { prefix: '\ud800' }, { after: 'a\udc00' }],
  ...[{ prefixes: 'a' }, { gte: 'a' }, null, [], 'a', 1],
];

type Ordered = Pick<SuiteView, 'keys' | 'entries' | 'listKeys' | 'listNamespaces'>;

async function all<Item>(items: Iterable<Item> | AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function fill(cache: SuiteCache): Promise<void> {
  // Not in order.
  for (let i = 0; i < ORDERED.length; i += 1) {
    const index = (i * 5) % ORDERED.length;
    await cache.set(ORDERED[index] as string, index, 'space');
  }
}

async function readsInOrder(source: Ordered): Promise<void> {
  for (const [options, names] of RANGES) {
    const shown = JSON.stringify(options);
    assert.deepEqual(await all(source.keys('space', options)), names, shown);
    assert.deepEqual(await source.listKeys('space', options), names, shown);
    const entries = await all(source.entries('space', options));
    assert.deepEqual(
      entries.map(({ namespace, key, value }) => [namespace, key, value]),
      names.map((name) => ['space', name, ORDERED.indexOf(name)]),
      shown,
    );
  }
  assert.deepEqual(await all(source.keys('space')), ORDERED);
  assert.deepEqual(await all(source.keys('missing')), []);
  assert.deepEqual(await all(source.entries('missing', {})), []);
}

async function refusesOptions(source: Ordered): Promise<void> {
  for (const options of REFUSED as RangeOptions[]) {
    const calls = [
      () => all(source.keys('space', options)),
      () => all(source.entries('space', options)),
      () => source.listKeys('space', options),
      ...(Array.isArray(options?.prefix) ? [] : [() => source.listNamespaces(options)]),
    ];
    for (const call of calls) assert.equal((await failureOf(call)).code, 'INVALID_OPTION', JSON.stringify(options));
  }
}

export const orderChecks: CacheCheck[] = [
  [
    'reads keys and entries in order of code point, all or a part, and in a view',
    async (cache) => {
      await fill(cache);
      await readsInOrder(cache);
      const { position } = await cache.set('a', 'changed', 'space');
      await cache.delete('b', 'space');
      await cache.set('aa', 'new', 'space');
      assert.deepEqual(await cache.listKeys('space', { from: 'a/2', limit: 3 }), ['a/2', 'aa', 'ab']);
      const view = await cache.at(position - 1);
      await readsInOrder(view);
      await refusesOptions(view);
      view[Symbol.dispose]();
      assert.equal((await failureOf(() => all(view.keys('space')))).code, 'CLOSED');
    },
  ],
  [
    'reads a namespace in order through its handle',
    async (cache) => {
      await fill(cache);
      const handle: SuiteHandle = cache.namespace('space');
      for (const [options, names] of RANGES) {
        assert.deepEqual(await all(handle.keys(options)), names);
        assert.deepEqual(await handle.listKeys(options), names);
        assert.deepEqual(
          (await all(handle.entries(options))).map(({ key }) => key),
          names,
        );
      }
    },
  ],
  [
    'reads in order what is written and removed after the first such read',
    async (cache) => {
      await fill(cache);
      await readsInOrder(cache);
      await cache.clearNamespace('space');
      assert.deepEqual(await all(cache.keys('space')), []);
      await fill(cache);
      await readsInOrder(cache);
      await cache.dropNamespace('space');
      assert.deepEqual(await cache.listKeys('space', {}), []);
      assert.deepEqual(await cache.listNamespaces({}), ['default']);
    },
  ],
  [
    'lists a part of the namespaces in order',
    async (cache) => {
      for (const name of ORDERED) await cache.set('key', 1, name);
      for (const [options, names] of RANGES) {
        const listed = await cache.listNamespaces(options);
        const others = listed.filter((name) => name !== 'default');
        if (options.limit === undefined) assert.deepEqual(others, names, JSON.stringify(options));
        else assert.equal(listed.length, Math.min(options.limit, listed.length));
      }
      assert.deepEqual(await cache.listNamespaces({ from: 'b', limit: 2 }), ['b', 'default']);
      await cache.dropNamespace('a/1');
      assert.deepEqual(await cache.listNamespaces({ prefix: 'a/' }), ['a/', 'a/2']);
      assert.deepEqual(
        await cache.listNamespaces(),
        [...ORDERED, 'default']
          .filter((name) => name !== 'a/1')
          .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      );
    },
  ],
  [
    'takes namespaces in parts',
    async (cache) => {
      const ann = ['store', 'user', 'ann/1'];
      await cache.set('name', 'Ann', ann);
      await cache.set('name', 'Ben', ['store', 'user', 'ben']);
      await cache.set('name', 'none', ['store', 'users']);
      assert.equal(await cache.get('name', ann), 'Ann');
      assert.equal(await cache.get('name', joinNamespace(ann)), 'Ann');
      assert.equal((await cache.entry('name', ann))?.namespace, 'store/user/ann%2F1/');
      assert.deepEqual(await all(cache.keys(ann)), ['name']);
      assert.deepEqual(await cache.listNamespaces({ prefix: ['store', 'user'] }), [
        'store/user/ann%2F1/',
        'store/user/ben/',
      ]);
      assert.deepEqual(await cache.listNamespaces({ prefix: [], limit: 1 }), ['default']);
      for (const parts of [[], ['a', 1], [undefined]] as string[][]) {
        assert.equal((await failureOf(() => cache.set('key', 1, parts))).code, 'INVALID_NAME');
        assert.equal((await failureOf(() => cache.get('key', parts))).code, 'INVALID_NAME');
        assert.equal((await failureOf(() => all(cache.keys(parts)))).code, 'INVALID_NAME');
      }
    },
  ],
  [
    'reads in order by command',
    async (cache) => {
      await fill(cache);
      const range = { namespace: 'space', prefix: 'a/', reverse: true, limit: 2 };
      assert.deepEqual(await cache.ask({ type: 'context.keys', ...range }), ['a/2', 'a/1']);
      const entries = (await cache.ask({ type: 'context.entries', ...range })) as { readonly key: string }[];
      assert.deepEqual(
        entries.map(({ key }) => key),
        ['a/2', 'a/1'],
      );
      assert.deepEqual(await cache.ask({ type: 'context.namespaces', prefix: 's' }), ['space']);
      const refused = () => cache.ask({ type: 'context.keys', namespace: 'space', limit: -1 });
      assert.equal((await failureOf(refused)).code, 'INVALID_OPTION');
    },
  ],
  [
    'refuses unknown and wrong options of reads in order',
    async (cache) => {
      await fill(cache);
      await refusesOptions(cache);
    },
  ],
  [
    'yields a key that stays once while others come and go',
    async (cache) => {
      const stay = Array.from({ length: 600 }, (_, index) => `key ${String(index * 2).padStart(4, '0')}`);
      await cache.setMany(Object.fromEntries(stay.map((key) => [key, 1])), 'space');
      const seen: string[] = [];
      for await (const key of cache.keys('space')) {
        seen.push(key);
        if (seen.length % 50 === 0) await cache.set(`${key} more`, 1, 'space');
        if (seen.length % 70 === 0) await cache.delete(`${key} more`, 'space');
      }
      assert.equal(new Set(seen).size, seen.length);
      assert.deepEqual(
        seen.filter((key) => !key.endsWith('more')),
        stay,
      );
    },
  ],
];
