import assert from 'node:assert/strict';
import type { SearchOptions } from '../core/entry-search.ts';
import type { JsonValue } from '../core/value.ts';
import { failureOf } from './cache-suite-values.ts';
import type { CacheCheck, SuiteCache } from './served-cache.ts';

const HOTELS: { readonly [namespace: string]: { readonly [key: string]: JsonValue } } = {
  'hotels/oslo/': {
    adler: { name: 'Adler', stars: 4, tags: ['old', 'quiet'], address: { street: 'Torg 1' } },
    bristol: { name: 'Bristol', stars: '5', open: true },
    camp: { name: 'Camp', stars: null },
  },
  'hotels/rome/': { arena: { name: 'Arena', stars: 3, 'a/b~c': 1 }, text: 'Adler' },
  other: { adler: { name: 'Adler', stars: 1 } },
};

async function fill(cache: SuiteCache): Promise<void> {
  for (const [namespace, values] of Object.entries(HOTELS)) await cache.setMany(values, namespace);
}

/** Finds all pages, and returns `namespace key` of each entry. */
async function namesOf(cache: SuiteCache, options: SearchOptions): Promise<string[]> {
  const names: string[] = [];
  for (let after: SearchOptions['after'], isDone = false; !isDone; isDone = after === undefined) {
    const { entries, next } = await cache.search({ ...options, after });
    assert.ok(entries.length <= (options.limit ?? 100));
    names.push(...entries.map(({ namespace, key }) => `${namespace} ${key}`));
    after = next;
  }
  return names;
}

const WHERES: readonly (readonly [where: SearchOptions['where'], names: readonly string[]])[] = [
  [{ '/name': 'Adler' }, ['hotels/oslo/ adler', 'other adler']],
  [{ '': 'Adler' }, ['hotels/rome/ text']],
  [{ '/stars': null }, ['hotels/oslo/ camp']],
  [{ '/open': true }, ['hotels/oslo/ bristol']],
  [{ '/stars': { gte: 4 } }, ['hotels/oslo/ adler', 'hotels/oslo/ bristol']],
  [{ '/stars': { gt: 4 } }, ['hotels/oslo/ bristol']],
  [{ '/stars': { lt: 3, gte: 1 } }, ['other adler']],
  [{ '/stars': { lte: 0 } }, ['hotels/oslo/ camp']],
  [{ '/stars': { gt: '4' } }, ['hotels/oslo/ bristol']],
  [{ '/name': { gt: 'B', lt: 'C' } }, ['hotels/oslo/ bristol']],
  [{ '/tags': { eq: ['old', 'quiet'] } }, ['hotels/oslo/ adler']],
  [{ '/tags/1': 'quiet', '/stars': 4 }, ['hotels/oslo/ adler']],
  [{ '/tags/length': { exists: true } }, []],
  [{ '/address/street': { exists: true } }, ['hotels/oslo/ adler']],
  [{ '/a~1b~0c': 1 }, ['hotels/rome/ arena']],
  [{ '/name': { in: ['Camp', 'Arena'] } }, ['hotels/oslo/ camp', 'hotels/rome/ arena']],
  [{ '/name': { nin: ['Camp', 'Arena', 'Adler'] } }, ['hotels/oslo/ bristol', 'hotels/rome/ text']],
  [{ '/name': { exists: false } }, ['hotels/rome/ text']],
  [{ '/stars': { ne: 4 }, '/name': 'Adler' }, ['other adler']],
  [{ '/constructor': { exists: true } }, []],
  [{ '/stars': 9 }, []],
];

const REFUSED: readonly unknown[] = [
  ...[{ limit: 0 }, { limit: 10_001 }, { limit: 1.5 }, { limit: null }, { where: [] }, { where: 'a' }, { where: null }],
  ...[{ where: { name: 'a' } }, { where: { '/a~': 1 } }, { where: { '/a': [] } }, { where: { '/a': { like: 1 } } }],
  ...[{ where: { '/a': { gt: true } } }, { where: { '/a': { in: 'a' } } }, { where: { '/a': { exists: 1 } } }],
  ...[{ after: 'a' }, { after: { namespace: 'a' } }, { prefix: 1 }, { namespace: 'a', prefix: 'b' }, { from: 'a' }],
  ...[null, [], 'a'],
];

export const searchChecks: readonly CacheCheck[] = [
  [
    'finds the entries whose values fit, in order, a page at a time',
    async (cache) => {
      await fill(cache);
      for (const [where, names] of WHERES) {
        assert.deepEqual(await namesOf(cache, { where }), names, JSON.stringify(where));
        assert.deepEqual(await namesOf(cache, { where, limit: 1 }), names, JSON.stringify(where));
      }
      const found = await cache.search({ where: { '/name': 'Arena' }, limit: 1 });
      assert.deepEqual(found, {
        entries: [await cache.entry('arena', 'hotels/rome/')],
        next: { namespace: 'hotels/rome/', key: 'arena' },
      });
      assert.deepEqual(await cache.search({ after: found.next, where: { '/name': 'Arena' } }), {
        entries: [],
        next: undefined,
      });
    },
  ],
  [
    'finds entries of one namespace, and of those with a prefix',
    async (cache) => {
      await fill(cache);
      const all = Object.entries(HOTELS).flatMap(([namespace, values]) =>
        Object.keys(values).map((key) => `${namespace} ${key}`),
      );
      assert.deepEqual(await namesOf(cache, { limit: 2 }), all);
      assert.deepEqual(await namesOf(cache, { prefix: ['hotels'], limit: 3 }), all.slice(0, 5));
      assert.deepEqual(await namesOf(cache, { prefix: 'o' }), all.slice(5));
      assert.deepEqual(await namesOf(cache, { namespace: ['hotels', 'oslo'], limit: 1 }), all.slice(0, 3));
      assert.deepEqual(await namesOf(cache, { namespace: 'none' }), []);
      assert.deepEqual(await namesOf(cache, { prefix: 'p' }), []);
      const { entries } = await cache.namespace('other').search({ where: { '/name': 'Adler' } });
      assert.deepEqual(entries, [await cache.entry('adler', 'other')]);
      const asked = await cache.ask({ type: 'context.search', where: { '/stars': { lte: 3 } }, prefix: 'other' });
      assert.deepEqual((asked as { readonly entries: unknown }).entries, entries);
    },
  ],
  [
    'refuses wrong options of a search',
    async (cache) => {
      for (const options of REFUSED) {
        const { code } = await failureOf(() => cache.search(options as never));
        assert.equal(code, 'INVALID_OPTION', JSON.stringify(options));
      }
      assert.equal((await failureOf(() => cache.search({ namespace: '' }))).code, 'INVALID_NAME');
    },
  ],
];
