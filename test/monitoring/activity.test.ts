import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AgentContextCache, InMemoryContextCache } from '../../src/index.ts';
import { Histogram } from '../../src/monitoring/histogram.ts';
import { closing, simulatedClock } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';

/** A clock whose durations are what a test says. */
function measuringClock() {
  let elapsed = 0;
  return {
    clock: Object.assign(simulatedClock(), { elapsed: () => elapsed }),
    pass: (durationMs: number) => {
      elapsed += durationMs;
    },
  };
}

test('counts commands by type, hits, misses, conflicts, expiries, bytes and failures', async () => {
  const clock = simulatedClock();
  const cache = closing(new AgentContextCache({ clock }));
  await cache.set('a', 'x'.repeat(100), 'trip');
  await cache.setMany({ b: 1, c: 2 }, 'trip', { ttl: 1_000 });
  await expect(cache.set('a', 1, 'trip', { ifVersion: 9 })).rejects.toThrow();
  await expect(cache.set('a', Number.NaN, 'trip')).rejects.toThrow();
  cache.get('a', 'trip');
  cache.get('z', 'trip');
  cache.has('a', 'trip');
  cache.entry('y', 'trip');
  cache.getMany(['a', 'b', 'x'], 'trip');
  cache.namespace('trip').listKeys();
  for (const _ of cache.keys('trip', { limit: 1 }));
  cache.supervisor.send({ type: 'context.delete', key: 'a', namespace: 'trip' });
  cache.supervisor.send({ type: 'context.delete', key: 'a', namespace: 'trip', ifVersion: 3 });
  clock.increment(2_000);
  await cache.ask({ type: 'cache.flush' });
  const { operations, hits, misses, conflicts, expiries, bytesWritten, failures, since } = cache.health().activity;
  expect(Object.fromEntries(Object.entries(operations).map(([name, { count }]) => [name, count]))).toEqual({
    'context.get': 2,
    'context.set': 2,
    'context.batch': 1,
    'context.has': 1,
    'context.entry': 1,
    'context.getMany': 1,
    'context.keys': 2,
    'context.delete': 2,
    'cache.flush': 1,
  });
  expect(operations['context.set']).toMatchObject({ failed: 1 });
  expect(operations['context.delete']).toMatchObject({ failed: 1 });
  expect({ hits, misses, conflicts, expiries, since }).toEqual({
    hits: 4,
    misses: 3,
    conflicts: 2,
    expiries: 2,
    since: 1_000_000,
  });
  expect(bytesWritten).toBeGreaterThan(100);
  expect(bytesWritten).toBeLessThan(200);
  expect(failures).toEqual({ VERSION_CONFLICT: 2, INVALID_VALUE: 1 });
});

test('counts the bytes of every part of a transaction', async () => {
  const cache = closing(new AgentContextCache());
  const set = (namespace: string) => ({ operation: 'set', namespace, key: 'k', value: 'x'.repeat(100) }) as const;
  await cache.transaction([set('one')]);
  const { bytesWritten } = cache.health().activity;
  await cache.transaction([set('one'), set('two'), set('three')].map((each) => ({ ...each, value: each.value + 1 })));
  expect(cache.health().activity.bytesWritten).toBeGreaterThan(3.9 * bytesWritten);
});

test('counts hits and misses of an asynchronous primary, and its refusals', async () => {
  class Asynchronous extends InMemoryContextCache {
    override readonly synchronous = false as never;
    override get(...args: Parameters<InMemoryContextCache['get']>): never {
      return Promise.resolve(super.get(...args)) as never;
    }
    override set(): never {
      return Promise.reject(new Error('no')) as never;
    }
  }
  const primaryCache = new Asynchronous();
  const cache = closing(new AgentContextCache({ primaryCache }));
  await cache.get('a');
  await expect(cache.set('a', 1)).rejects.toThrow();
  const { operations, misses, failures } = cache.health().activity;
  expect(operations['context.set']).toMatchObject({ count: 1, failed: 1 });
  expect({ misses, failures }).toEqual({ misses: 1, failures: { BACKEND_FAILED: 1 } });
});

test('measures latencies by the clock of the cache', async () => {
  const { clock, pass } = measuringClock();
  class Slow extends InMemoryContextCache {
    override get(key: string, namespace: string) {
      pass(key === 'slow' ? 900 : 2);
      return super.get(key, namespace);
    }
  }
  const cache = closing(new AgentContextCache({ clock, primaryCache: new Slow() }));
  for (let i = 0; i < 98; i += 1) cache.get('quick');
  for (let i = 0; i < 2; i += 1) cache.get('slow');
  const latency = cache.health().activity.operations['context.get']?.latency;
  expect(latency?.p50Ms).toBeCloseTo(2, 0);
  expect(latency?.p90Ms).toBeCloseTo(2, 0);
  expect(Math.abs((latency?.p99Ms ?? 0) - 900)).toBeLessThan(81);
  expect(latency?.maxMs).toBe(900);
});

test('measures one of 64 commands once there are many, and one of 1,024 once there are very many', () => {
  const { clock, pass } = measuringClock();
  let reads = 0;
  clock.elapsed = () => {
    reads += 1;
    return 0;
  };
  pass(0);
  const cache = closing(new AgentContextCache({ clock }));
  for (let i = 0; i < 1_024; i += 1) cache.get('key');
  expect(reads).toBe(2_048);
  for (let i = 0; i < 6_400; i += 1) cache.get('key');
  expect(reads).toBe(2_048 + 200);
  for (let i = 7_424; i < 65_536; i += 1) cache.get('key');
  expect(reads).toBe(2_048 + 2_016);
  for (let i = 0; i < 10_240; i += 1) cache.get('key');
  expect(reads).toBe(2_048 + 2_016 + 20);
  expect(cache.health().activity.operations['context.get']?.count).toBe(75_776);
});

test('quantiles are within 10 % of the exact ones (property)', () => {
  const durations = fc.array(fc.double({ min: 0.0005, max: 200_000, noNaN: true }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(durations, (given) => {
      const histogram = new Histogram();
      for (const each of given) histogram.add(each, 1);
      const sorted = [...given].sort((a, b) => a - b);
      const exact = (q: number) => sorted[Math.ceil(q * sorted.length) - 1] as number;
      const latency = histogram.latency();
      for (const [q, ms] of [
        [0.5, latency?.p50Ms],
        [0.9, latency?.p90Ms],
        [0.99, latency?.p99Ms],
      ] as const) {
        expect(Math.abs((ms ?? 0) / exact(q) - 1)).toBeLessThan(0.1);
      }
      expect(latency?.maxMs).toBe(sorted.at(-1));
      const bounds = [...histogram.cumulative()];
      for (const { upToMs, count } of bounds) expect(count).toBe(given.filter((ms) => ms <= upToMs).length);
    }),
    fcOptions(),
  );
});

test('a histogram takes durations of any size', () => {
  const histogram = new Histogram();
  for (const each of [-5, 0, 1e12]) histogram.add(each, 2);
  expect(histogram.count).toBe(6);
  expect(histogram.latency()).toMatchObject({ maxMs: 1e12 });
});
