import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Basis, MAX_READINGS } from '../../src/core/basis.ts';
import { ReadSet } from '../../src/core/read-set.ts';
import type { AgentContextCache, ContextCacheError } from '../../src/index.ts';
import { makeCache } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';

const basesOf = async (cache: AgentContextCache, from = 1) => {
  const bases: [string | null, Basis | undefined][] = [];
  for await (const { key, basis } of cache.readLog({ from })) bases.push([key, basis]);
  return bases;
};

const read = (key: string, version: number, namespace = 'default') => ({ namespace, key, version });

describe('a handle with a basis', () => {
  it('counts every way to read values, and none to list names', async () => {
    const { cache } = makeCache();
    await cache.setMany({ a: 1, b: 2, c: 3, d: 4, e: 5, f: 6 });
    const planner = cache.as({ agent: 'planner' }, { basis: true });
    const expectBasis = async (...readings: unknown[]) => {
      const { position } = await planner.setMany({ out: readings.length });
      const [[, basis]] = (await basesOf(cache, position)) as [[string, Basis]];
      expect(basis).toEqual(readings);
      // A write of one key takes the place of what was read.
      const { version } = await planner.set('link', 1);
      return read('link', version);
    };
    planner.listKeys();
    planner.listNamespaces();
    expect([...planner.keys()]).toHaveLength(6);
    let link = await expectBasis();
    planner.has('a');
    planner.entry('b');
    link = await expectBasis(link, read('a', 1), read('b', 2));
    for (const { key } of planner.entries('default', { from: 'c' })) if (key === 'd') break;
    link = await expectBasis(link, read('c', 3), read('d', 4));
    await planner.changes({ since: 4, limit: 2 });
    link = await expectBasis(link, read('e', 5), read('f', 6));
    await planner.transact(async (tx) => void (await tx.get('a')));
    link = await expectBasis(link, read('a', 1));
    const watch = planner.watch({ keys: ['b'] });
    const stop = planner.subscribe(() => {}, { keys: ['c'] });
    await cache.setMany({ b: 3, c: 4 });
    await cache.flush();
    await watch.next();
    const versions = (['c', 'b'] as const).map((key) => read(key, cache.entry(key)?.version as number));
    link = await expectBasis(link, ...versions);
    stop();
    await watch.return?.();
    await planner.getOrSet('made', () => `${planner.get('d')}`);
    const made = cache.entry('made')?.version as number;
    expect((await basesOf(cache, cache.position)).at(-1)).toEqual(['made', [link, read('d', 4)]]);
    await expectBasis(link, read('d', 4), read('made', made));
  });

  it('keeps what was read for writes that overlap, and for the next one if a write is refused', async () => {
    const { cache, failures } = makeCache();
    await cache.set('a', 1);
    const planner = cache.as({}, { basis: true });
    planner.get('a');
    const first = planner.set('b', 1);
    const second = planner.set('c', 1);
    await Promise.all([first, second]);
    await planner.set('d', 1);
    await expect(planner.set('d', 2, 'default', { ifVersion: 1 })).rejects.toThrow();
    await planner.set('e', 1);
    expect((await basesOf(cache)).slice(1)).toEqual([
      ['b', [read('a', 1)]],
      ['c', [read('a', 1)]],
      ['d', [read('b', 2), read('c', 3)]],
      ['e', [read('d', 4)]],
    ]);
    // Nothing handles this refusal: it is reported, as of any write.
    planner.set('d', 2, 'default', { ifVersion: 1 });
    await sleep(20);
    expect(failures.map(({ error }) => (error as ContextCacheError).code)).toEqual(['VERSION_CONFLICT']);
  });

  it('refuses options that it does not know, before anything has changed', () => {
    const { cache } = makeCache();
    expect(() => cache.as({}, { bases: true } as never)).toThrow(/basis/);
    expect(() => cache.as({}, 7 as never)).toThrow(/object/);
  });
});

describe('what was read', () => {
  const keys = fc.oneof(
    fc.nat(300).map((n) => `key:${n}`),
    fc.constantFrom('😀a', '😁b', 'x'.repeat(8_000), `${'x'.repeat(7_999)}y`),
  );
  const reads = fc.array(fc.tuple(fc.nat(90), keys, fc.nat(50)), { maxLength: 900 });

  it('is bounded, and its readings cover each entry that was read', () => {
    const { cache, failures } = makeCache();
    fc.assert(
      fc.property(reads, fc.nat(900), (all, forgotten) => {
        const set = new ReadSet();
        const expected = new Map<string, { namespace: string; key: string; version: number }>();
        all.forEach(([number, key, version], index) => {
          if (index === forgotten) {
            set.forget(set.order);
            expected.clear();
          }
          const namespace = `n${Math.floor(number ** 2 / 90)}`;
          set.add(namespace, key, version, index + 1);
          expected.set(JSON.stringify([namespace, key]), { namespace, key, version });
        });
        const basis = set.basis();
        expect(basis.length).toBeLessThanOrEqual(MAX_READINGS);
        expect(JSON.stringify(basis).length).toBeLessThan(100_000);
        for (const { namespace, key, version } of expected.values()) {
          const isCovered = basis.some((reading) => {
            if ('position' in reading) return true;
            if (reading.namespace !== namespace) return false;
            if ('key' in reading) return reading.key === key && reading.version === version;
            return key.startsWith(reading.prefix ?? '') && reading.from <= version && version <= reading.to;
          });
          expect(isCovered, `${namespace} ${key} ${version}`).toBe(true);
        }
        // An admission accepts it.
        void cache.set('k', 1, 'n', { basis });
      }),
      fcOptions(60),
    );
    expect(failures).toEqual([]);
    expect(failures).toEqual([]);
  });
});
