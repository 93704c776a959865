import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { isEqual } from '../../src/core/equal.ts';
import { InMemoryContextCache, type JsonValue, memorySubjectKeys } from '../../src/index.ts';
import type { Comparison, Found, SearchOptions, Where } from '../../src/types.ts';
import { codeOf, LateCache, makeCache } from '../support/cache.ts';
import { open } from '../support/durable.ts';
import { byUtf8 } from '../support/order.ts';
import { fcOptions } from '../support/property.ts';
import { tempDir } from '../support/temp-dir.ts';

interface Searched {
  search(options?: SearchOptions): Promise<Found>;
}

/** Finds all pages, and returns `namespace key` of each entry. */
async function namesOf(cache: Searched, options: SearchOptions = {}): Promise<string[]> {
  const names: string[] = [];
  let { after } = options;
  do {
    const { entries, next } = await cache.search({ ...options, after });
    names.push(...entries.map(({ namespace, key }) => `${namespace} ${key}`));
    after = next;
  } while (after !== undefined);
  return names;
}

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => [`k${String(from + index).padStart(5, '0')}`, { n: from + index }]);

describe('a search', () => {
  it('finds what a walk over all entries finds', async () => {
    const part = fc.constantFrom<JsonValue>(0, 1, 2, '1', '2', 'a', '', null, true, [1], { b: 1 });
    const value = fc.oneof(part, fc.dictionary(fc.constantFrom('a', 'b', '0'), part, { maxKeys: 3 }), fc.array(part));
    const name = fc.constantFrom('a', 'b/', 'b/c', '\u{ffff}', '\u{10000}');
    const order = fc.oneof(fc.integer({ min: 0, max: 2 }), fc.constantFrom('1', 'a'));
    const comparison = fc.record(
      {
        ...{ eq: part, ne: part, in: fc.array(part), nin: fc.array(part), exists: fc.boolean() },
        ...{ gt: order, gte: order, lt: order, lte: order },
      },
      { requiredKeys: [] },
    );
    const scalar = fc.constantFrom(0, 1, '1', 'a', null, true);
    const pointer = fc.constantFrom('', '/a', '/b', '/0', '/a/b', '/a/0');
    const run = fc.asyncProperty(
      fc.array(fc.tuple(name, name, value), { maxLength: 20 }),
      fc.dictionary(pointer, fc.oneof(scalar, comparison), { maxKeys: 2 }),
      fc.option(fc.constantFrom('b', 'b/'), { nil: undefined }),
      fc.integer({ min: 1, max: 4 }),
      async (writes, where, prefix, limit) => {
        const { cache } = makeCache();
        const held = new Map<string, JsonValue>();
        for (const [namespace, key, each] of writes) {
          await cache.set(key, each, namespace);
          held.set(`${namespace} ${key}`, each);
        }
        const expected = [...held]
          .filter(([at, each]) => at.startsWith(prefix ?? '') && meets(each, where))
          .map(([at]) => at)
          .sort((a, b) => {
            const [[space, key], [other, second]] = [a.split(' '), b.split(' ')] as [
              [string, string],
              [string, string],
            ];
            return byUtf8(space, other) || byUtf8(key, second);
          });
        expect(await namesOf(cache, { where: where as Where, prefix, limit })).toEqual(expected);
        await cache.shutdown({ timeoutMs: 0 });
      },
    );
    await fc.assert(run, fcOptions(100));
  });

  it('reads a large namespace in its order, and goes on while it changes', async () => {
    const { cache, clock } = makeCache();
    await cache.setMany(Object.fromEntries(numbered(0, 3_000)), 'large');
    await cache.set('short', { n: 2_500 }, 'large', { ttl: 1_000 });
    await cache.set('last', { n: 2_500 }, 'small');
    const where: Where = { '/n': { gte: 2_000 } };
    const first = await cache.search({ where, limit: 600 });
    expect(first.entries.map(({ value }) => (value as { n: number }).n)).toEqual(
      Array.from({ length: 600 }, (_, index) => 2_000 + index),
    );
    await cache.delete('k02700', 'large');
    await cache.set('k02600a', { n: 9_999 }, 'large');
    vi.spyOn(clock, 'now').mockReturnValue(clock.now() + 2_000);
    const rest = await namesOf(cache, { where, after: first.next, limit: 150 });
    expect(rest).toHaveLength(400 + 1);
    expect(rest).toContain('large k02600a');
    expect(rest).not.toContain('large k02700');
    expect(rest.at(-1)).toBe('small last');
  });

  it('finds an entry that stays once, among thousands of namespaces that come and go', async () => {
    const { cache } = makeCache();
    const nameOf = (i: number) => `n${String(i).padStart(5, '0')}`;
    const stays = (i: number) => i % 500 === 0;
    for (let i = 0; i < 6_000; i += 1) void cache.set('key', { even: i % 2 === 0, rare: stays(i) }, nameOf(i));
    await cache.setMany(Object.fromEntries(numbered(0, 1_100)), 'n03000');
    await cache.set('other', { rare: true }, 'x');
    for (const [prefix, last] of [
      ['n', []],
      [undefined, ['x other']],
      ['n0', []],
    ] as const) {
      let isOver = false;
      const change = async () => {
        for (let i = 1; !isOver; i += 7) {
          const name = nameOf(i % 6_000);
          if (!stays(i % 6_000))
            void (i % 3 === 0 ? cache.dropNamespace(name) : cache.set('key', { rare: false }, name));
          if (i % 50 === 0) await new Promise(setImmediate);
        }
      };
      const changing = change();
      const found = await namesOf(cache, { where: { '/rare': true }, prefix });
      isOver = true;
      await changing;
      const expected = Array.from({ length: 12 }, (_, i) => `${nameOf(i * 500)} key`);
      expect(found).toEqual([...expected, ...last]);
    }
    expect(await namesOf(cache, { where: { '/rare': true }, prefix: 'n04', limit: 1 })).toEqual([
      'n04000 key',
      'n04500 key',
    ]);
    expect(await namesOf(cache, { where: { '/n': 1_099 } })).toEqual(['n03000 k01099']);
  });

  it('refuses a filter that is no plain data, or has too many items', async () => {
    const { cache } = makeCache();
    await cache.setMany({ a: { n: 1 }, b: { n: [1, { c: 2 }] }, c: {} }, 'n');
    const refused: readonly [unknown, RegExp][] = [
      [new Map([['/n', 1]]), /where must be an object of JSON pointers/],
      [new Date(0), /where must be an object of JSON pointers/],
      [{ '/n': new Date(0) }, /"\/n" needs a text, a number/],
      [{ '/n': new (class Above {})() }, /"\/n" needs a text, a number/],
      [{ '/n': { ne: new Date(0) } }, /"\/n": ne takes plain data.*Date instance/],
      [{ '/n': { nin: [1, new Map()] } }, /"\/n": nin takes plain data.*\$\[1\] is a Map instance/],
      [{ '/n': { in: Array.from({ length: 1_001 }, (_, i) => i) } }, /"\/n": in takes an array of at most 1000 items/],
      [{ '/n': { nin: new Set([1]) } }, /"\/n": nin takes/],
    ];
    for (const [where, message] of refused) {
      const refusal = await cache.search({ where: where as Where }).catch((error) => error);
      expect(refusal).toMatchObject({ code: 'INVALID_OPTION' });
      expect(refusal.message).toMatch(message);
    }
    const thousand = [...Array.from({ length: 998 }, (_, i) => i), [1, { c: 2 }], '1'];
    expect(await namesOf(cache, { where: { '/n': { in: thousand } } })).toEqual(['n a', 'n b']);
    expect(await namesOf(cache, { where: { '/n': { nin: thousand } } })).toEqual(['n c']);
    expect(await namesOf(cache, { where: Object.assign(Object.create(null), { '/n': 1 }) })).toEqual(['n a']);
  });

  it('ends a page after 4 MiB of values', async () => {
    const { cache } = makeCache();
    for (let i = 0; i < 6; i += 1) await cache.set(`k${i}`, 'x'.repeat(1024 * 1024), `n${i % 2}`);
    const { entries, next } = await cache.search();
    expect([entries.length, next]).toEqual([4, { namespace: 'n1', key: 'k1' }]);
    expect(await namesOf(cache)).toHaveLength(6);
  });

  it('reads namespaces that are not in memory, and leaves them there', async () => {
    const { cache, clock } = await open({ dataDir: await tempDir('search') });
    for (let i = 0; i < 20; i += 1) await cache.set('key', { i }, `n${String(i).padStart(3, '0')}`);
    await cache.setMany(Object.fromEntries(numbered(0, 1_100)), 'large');
    await cache.set('gone', { i: 1 }, 'n000', { expiresAt: clock.now() + 10_000_000 });
    await vi.waitFor(
      () => {
        for (const namespace of cache.listNamespaces()) void cache.ask({ type: 'namespace.passivate', namespace });
        clock.increment(500);
        expect(cache.health().namespaces.resident).toBe(0);
      },
      { timeout: 30_000 },
    );
    vi.spyOn(clock, 'now').mockReturnValue(clock.now() + 20_000_000);
    expect(await namesOf(cache, { where: { '/i': { lt: 2 } } })).toEqual(['n000 key', 'n001 key']);
    expect(await namesOf(cache, { where: { '/n': { gte: 1_098 } }, limit: 1 })).toEqual([
      'large k01098',
      'large k01099',
    ]);
    expect(await namesOf(cache, { prefix: 'n', limit: 7 })).toHaveLength(20);
    expect(cache.health().namespaces.resident).toBe(0);
  });

  it('reads a branch, and what a primary of the user keeps', async () => {
    const { cache } = makeCache();
    await cache.set('a', { n: 1 }, 'x');
    await cache.set('b', { n: 1 }, 'y');
    await using branch = await cache.fork();
    await branch.set('a', { n: 2 }, 'x');
    await branch.set('c', { n: 1 }, 'z');
    expect(await namesOf(branch, { where: { '/n': 1 } })).toEqual(['y b', 'z c']);
    expect(await namesOf(cache, { where: { '/n': 1 } })).toEqual(['x a', 'y b']);
    for (const primaryCache of [new InMemoryContextCache(), new LateCache()]) {
      const { cache: kept } = makeCache({ primaryCache: primaryCache as LateCache });
      for (let i = 0; i < 200; i += 1) await kept.set(`k${String(i).padStart(3, '0')}`, { i }, i % 2 === 0 ? 'x' : 'y');
      expect(await namesOf(kept, { where: { '/i': { gte: 197 } }, limit: 1 })).toEqual(['x k198', 'y k197', 'y k199']);
    }
  });

  it('tests values with subjects as readers see them', async () => {
    const { cache } = await open({ subjects: { keys: memorySubjectKeys() } });
    await cache.set('whole', { city: 'Oslo' }, 'n', { subject: 'u' });
    await cache.set('part', { city: 'Oslo', name: 'Ann' }, 'n', { subjects: { '/name': 'u' } });
    await cache.setMany(Object.fromEntries(numbered(0, 1_100)), 'large');
    await cache.set('whole', { city: 'Oslo' }, 'large', { subject: 'u' });
    expect(await namesOf(cache, { where: { '/city': 'Oslo' } })).toEqual(['large whole', 'n part', 'n whole']);
    expect(await namesOf(cache, { where: { '/name': 'Ann' } })).toEqual(['n part']);
    expect(await namesOf(cache, { where: { '/$sealed': { exists: true } } })).toEqual([]);
    await cache.forget('u');
    expect(await namesOf(cache, { where: { '/city': 'Oslo' } })).toEqual(['n part']);
    expect(await namesOf(cache, { where: { '/name': null } })).toEqual(['n part']);
  });

  it('shows an agent what it may read, and goes on behind an entry that it may read', async () => {
    const { cache } = makeCache({
      grants: [{ agent: 'reader', read: ['open/**', { namespace: 'mixed', keys: ['a*'] }] }],
    } as never);
    for (const namespace of ['closed', 'mixed', 'open/1', 'secret'])
      await cache.setMany({ a1: 1, a2: 2, b1: 3 }, namespace);
    const reader = cache.as({ agent: 'reader' });
    for (const limit of [1, 2, 100]) {
      const seen = await namesOf(reader, { limit });
      expect(seen).toEqual(['mixed a1', 'mixed a2', 'open/1 a1', 'open/1 a2', 'open/1 b1']);
    }
    const { next } = await reader.search({ limit: 3 });
    expect(['mixed', 'open/1']).toContain(next?.namespace);
    await expect(reader.search({ namespace: 'secret' })).rejects.toThrow('reader');
    expect(await namesOf(reader, { prefix: 'secret' })).toEqual([]);
  });

  it('gives an agent the pages of a cache that holds only what it may read', async () => {
    const name = fc.constantFrom('a', 'b/', 'b/c', 'c', 'large');
    const key = fc.constantFrom('a', 'b', 'b1', 'c', 'k00007', 'k00700');
    const read = fc.array(
      fc.oneof(
        fc.constantFrom('a', 'b/**', 'large', 'c'),
        fc.record({ namespace: fc.constantFrom('a', '**', 'b/*', 'large'), keys: fc.constantFrom('b*', 'a', 'k*7') }),
      ),
      { minLength: 1, maxLength: 3 },
    );
    const primaries = fc.constantFrom('none', 'at once', 'late');
    const run = fc.asyncProperty(
      fc.array(fc.tuple(name, key, fc.integer({ min: 0, max: 3 })), { maxLength: 20 }),
      read,
      fc.record({ limit: fc.integer({ min: 1, max: 4 }), above: fc.integer({ min: -1, max: 2 }), large: fc.nat(5) }),
      primaries,
      async (writes, allowed, { limit, above, large }, primary) => {
        const create = () => {
          if (primary === 'none') return makeCache().cache;
          const primaryCache = primary === 'late' ? new LateCache() : new InMemoryContextCache();
          return makeCache({ primaryCache: primaryCache as LateCache }).cache;
        };
        const [cache, only] = [create(), create()];
        await cache.setGrants([{ agent: 'spy', read: allowed }]);
        const spy = cache.as({ agent: 'spy' });
        const all =
          large === 0
            ? [...numbered(0, 1_100).map(([each], i) => ['large', each as string, i % 4] as const), ...writes]
            : writes;
        for (const namespace of new Set(all.map(([at]) => at))) {
          const held = all.filter(([at]) => at === namespace).map(([, each, n]) => [each, { n }] as const);
          await cache.setMany(Object.fromEntries(held), namespace);
          const mayRead = (each: string) => codeOf(Promise.resolve().then(() => spy.get(each, namespace)));
          const codes = await Promise.all(held.map(([each]) => mayRead(each)));
          const visible = held.filter((_, index) => codes[index] === undefined);
          if (visible.length > 0) await only.setMany(Object.fromEntries(visible), namespace);
        }
        const options: SearchOptions = { where: { '/n': { gt: above } }, limit };
        let after: Found['next'];
        for (let page = 0; page < 12; page += 1) {
          const [seen, expected] = await Promise.all([
            spy.search({ ...options, after }),
            only.search({ ...options, after }),
          ]);
          const shown = ({ entries, next }: Found) => [entries.map((e) => [e.namespace, e.key, e.value]), next];
          expect(shown(seen)).toEqual(shown(expected));
          after = seen.next;
          if (after === undefined) break;
        }
        await Promise.all([cache.shutdown({ timeoutMs: 0 }), only.shutdown({ timeoutMs: 0 })]);
      },
    );
    await fc.assert(run, fcOptions(50));
  });

  it('shows an agent nothing of the size and the errors of hidden values, and does not search them', async () => {
    const migrations = [
      {
        ...{ version: 2, namespaces: '**' },
        when: (value: JsonValue) => value === 'old',
        migrate: () => {
          throw new Error('cannot be migrated');
        },
      },
    ];
    const { cache } = makeCache({ migrations, grants: [{ agent: 'spy', read: ['open'] }] } as never);
    for (let i = 0; i < 5; i += 1) await cache.set(`k${i}`, 'x'.repeat(1024 * 1024), 'hidden');
    await cache.set('k', 'old', 'hidden');
    await cache.setMany({ a: 1, b: 2 }, 'open');
    const spy = cache.as({ agent: 'spy' });
    const { entries, next } = await spy.search();
    expect([entries.map(({ key }) => key), next]).toEqual([['a', 'b'], undefined]);
    // One search of the cache, however much is hidden.
    const meter = () =>
      cache.inspection
        .metrics()
        .flatMap(({ samples }) => samples)
        .find(({ labels }) => labels?.command === 'context.search');
    expect(meter()?.value).toBe(1);
  });

  it('counts as a read of what it finds for a handle with a basis', async () => {
    const { cache } = makeCache();
    await cache.setMany({ a: { n: 1 }, b: { n: 2 } }, 'n');
    const planner = cache.as({ agent: 'planner' }, { basis: true });
    await planner.search({ where: { '/n': 2 } });
    await planner.set('out', 1, 'n');
    for await (const { key, basis } of cache.readLog({ from: 3 }))
      expect([key, basis]).toEqual(['out', [{ namespace: 'n', key: 'b', version: 2 }]]);
  });
});

/** Says the same as the filter, in another way: of a value as text, by steps. */
function meets(value: JsonValue, where: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(where).every(([pointer, condition]) => {
    let part: unknown = value;
    for (const step of pointer.split('/').slice(1))
      part =
        typeof part === 'object' && part !== null && Object.keys(part).includes(step)
          ? Reflect.get(part, step)
          : undefined;
    if (typeof condition !== 'object' || condition === null) return part === condition;
    const { eq, ne, exists, in: some, nin, ...orders } = condition as Comparison;
    if (eq !== undefined && !isEqual(part, eq)) return false;
    if (ne !== undefined && isEqual(part, ne)) return false;
    if (exists !== undefined && (part !== undefined) !== exists) return false;
    if (some !== undefined && !some.some((each) => isEqual(part, each))) return false;
    if (nin?.some((each) => isEqual(part, each))) return false;
    return Object.entries(orders).every(([order, wanted]) => {
      if (part === undefined || (typeof part === 'object' && part !== null)) return false;
      if (typeof wanted === 'string' && typeof part !== 'string') return false;
      const [a, b] = typeof wanted === 'string' ? [part as string, wanted] : [Number(part), wanted as number];
      if (Number.isNaN(a) || Number.isNaN(b)) return false;
      return { gt: a > b, gte: a >= b, lt: a < b, lte: a <= b }[order];
    });
  });
}
