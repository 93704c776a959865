import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { InMemoryContextCache, type RangeOptions } from '../../src/index.ts';
import { LateCache, makeCache } from '../support/cache.ts';
import { open } from '../support/durable.ts';
import { byUtf8, inRange } from '../support/order.ts';
import { fcOptions } from '../support/property.ts';
import { tempDir } from '../support/temp-dir.ts';

const KEYS = ['b', 'a', 'a/1', '\u{10000}', '\u{ffff}', 'a/2'];
const RANGES: RangeOptions[] = [
  {},
  { reverse: true, limit: 2 },
  { prefix: 'a', after: 'a', limit: 2 },
  { from: 'a/2', to: '\u{ffff}' },
];

async function all<T>(items: Iterable<T> | AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe('reads in order', () => {
  it('go on behind the last key when the namespace is cleared, dropped and written again', async () => {
    const { cache } = makeCache();
    const write = (keys: string[]) => cache.setMany(Object.fromEntries(keys.map((key) => [key, 1])), 'n');
    await write(['a', 'b', 'c', 'd']);
    const keys = cache.keys('n');
    const back = cache.keys('n', { reverse: true });
    expect([keys.next().value, keys.next().value, back.next().value]).toEqual(['a', 'b', 'd']);
    await cache.dropNamespace('n');
    await write(['a', 'b', 'c', 'e']);
    await cache.clearNamespace('n');
    await write(['a', 'c', 'f', 'b']);
    expect([...keys]).toEqual(['c', 'f']);
    expect([...back]).toEqual(['c', 'b', 'a']);
  });

  it('skip expired entries, which do not count toward the limit', async () => {
    const { cache, clock } = makeCache();
    for (const [index, key] of ['a', 'b', 'c', 'd'].entries())
      await cache.set(key, index, 'n', index % 2 === 0 ? { ttl: 1_000 } : {});
    const keys = cache.keys('n', { limit: 2 });
    expect(cache.listKeys('n', { limit: 2 })).toEqual(['a', 'b']);
    vi.spyOn(clock, 'now').mockReturnValue(clock.now() + 2_000);
    expect([...keys]).toEqual(['b', 'd']);
    expect([...cache.entries('n', {})].map(({ key }) => key)).toEqual(['b', 'd']);
  });

  it('read a branch, whose names lie partly in its parent', async () => {
    const { cache } = makeCache();
    for (const name of KEYS) await cache.set('key', 1, name);
    await using branch = await cache.fork();
    expect(branch.listNamespaces({ prefix: 'a' })).toEqual(['a', 'a/1', 'a/2']);
    await branch.set('key', 2, 'a/3');
    await branch.set('other', 2, 'a');
    await branch.dropNamespace('a/1');
    expect(branch.listNamespaces({ prefix: 'a' })).toEqual(['a', 'a/2', 'a/3']);
    expect(branch.listKeys('a', {})).toEqual(['key', 'other']);
    expect([...branch.keys('b')]).toEqual(['key']);
    expect(cache.listNamespaces({ prefix: 'a' })).toEqual(['a', 'a/1', 'a/2']);
  });

  it('read a namespace that is not in memory, and go on when it comes and leaves', async () => {
    const { cache, clock } = await open({ dataDir: await tempDir('order') });
    const passivate = async () => {
      void cache.ask({ type: 'namespace.passivate', namespace: 'n' });
      await vi.waitFor(
        () => {
          clock.increment(500);
          expect(cache.health().namespaces.resident).toBe(0);
        },
        { timeout: 30_000 },
      );
    };
    for (const key of KEYS) await cache.set(key, `value of ${key}`, 'n');
    await cache.set('expires', 1, 'm', { expiresAt: clock.now() + 10_000_000 });
    await cache.ask({ type: 'namespace.passivate', namespace: 'm' });
    await passivate();
    for (const options of RANGES) {
      expect(cache.listKeys('n', options)).toEqual(inRange(KEYS, options));
      const entries = [...cache.entries('n', options)];
      expect(entries.map(({ key, value }) => [key, value])).toEqual(
        inRange(KEYS, options).map((key) => [key, `value of ${key}`]),
      );
    }
    expect(cache.listNamespaces({ after: 'default' })).toEqual(['m', 'n']);
    expect(cache.listKeys('m', {})).toEqual(['expires']);
    expect(cache.health().namespaces.resident).toBe(0);
    const keys = cache.keys('n');
    expect([keys.next().value, keys.next().value]).toEqual(['a', 'a/1']);
    await cache.set('a/0', 1, 'n');
    await cache.set('a/11', 1, 'n');
    expect(keys.next().value).toBe('a/11');
    await passivate();
    expect([...keys]).toEqual(['a/2', 'b', '\u{ffff}', '\u{10000}']);
    // The order that was kept is outdated.
    expect(cache.listKeys('n', { prefix: 'a/' })).toEqual(['a/0', 'a/1', 'a/11', 'a/2']);
    const view = cache.at(cache.position);
    expect([...view.keys('n', { prefix: 'a/', reverse: true })]).toEqual(['a/2', 'a/11', 'a/1', 'a/0']);
  });

  it('read what a primary keeps, with for await if it answers with promises', async () => {
    for (const primaryCache of [new InMemoryContextCache(), new LateCache()]) {
      const { cache } = makeCache({ primaryCache: primaryCache as LateCache });
      for (const key of KEYS) await cache.set(key, `value of ${key}`, 'n');
      for (let i = 0; i < 200; i += 1) await cache.set(`many ${String(i).padStart(3, '0')}`, i, 'm');
      const isLate = primaryCache instanceof LateCache;
      expect(Symbol.asyncIterator in cache.keys('n')).toBe(isLate);
      for (const options of RANGES) {
        const keys = inRange(KEYS, options);
        expect(await all(cache.keys('n', options))).toEqual(keys);
        expect(await cache.listKeys('n', options)).toEqual(keys);
        const entries = await all(cache.entries('n', options));
        expect(entries.map(({ key, value }) => [key, value])).toEqual(keys.map((key) => [key, `value of ${key}`]));
      }
      const many = await all(cache.entries('m', { after: 'many 009', limit: 150 }));
      expect(many.map(({ value }) => value)).toEqual(Array.from({ length: 150 }, (_, i) => i + 10));
      expect(await cache.listNamespaces({ limit: 2, reverse: true })).toEqual(['n', 'm']);
    }
  });

  it('yield each key that stays exactly once, whatever happens meanwhile', async () => {
    const change = fc.record({
      key: fc.nat(60).map((number) => `k${String(number).padStart(2, '0')}`),
      kind: fc.constantFrom('set' as const, 'delete' as const, 'clear' as const, 'drop' as const),
      steps: fc.nat(6),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 40 }), fc.boolean(), async (changes, reverse) => {
        const { cache } = makeCache();
        const start = Array.from({ length: 20 }, (_, i) => `k${String(i * 3).padStart(2, '0')}`);
        await cache.setMany(Object.fromEntries(start.map((key) => [key, 1])), 'n');
        let stays = new Set(start);
        const keys = cache.keys('n', { reverse });
        const seen: string[] = [];
        for (const { key, kind, steps } of changes) {
          for (let i = 0; i < steps; i += 1) {
            const { value } = keys.next();
            if (value === undefined) continue;
            expect(cache.has(value, 'n')).toBe(true);
            seen.push(value);
          }
          if (kind === 'set') await cache.set(key, 2, 'n');
          else if (kind === 'delete') await cache.delete(key, 'n');
          else await (kind === 'clear' ? cache.clearNamespace('n') : cache.dropNamespace('n'));
          if (kind === 'delete') stays.delete(key);
          else if (kind !== 'set') stays = new Set();
        }
        seen.push(...keys);
        const sorted = seen.toSorted(byUtf8);
        expect(seen).toEqual(reverse ? sorted.reverse() : sorted);
        const met = new Set(seen);
        expect(met.size).toBe(seen.length);
        expect([...stays].filter((key) => !met.has(key))).toEqual([]);
      }),
      fcOptions(40),
    );
  });

  it('refuse a list of parts where a name must stand, and say what to do', async () => {
    const { cache } = makeCache();
    const parts = ['store', 'user'] as never;
    await expect(cache.ask({ type: 'context.get', key: 'k', namespace: parts })).rejects.toMatchObject({
      code: 'INVALID_NAME',
      message: 'A namespace must be a string here, not an array: join its parts with joinNamespace(parts).',
    });
  });
});
