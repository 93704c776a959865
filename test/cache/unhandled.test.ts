import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { BaseContextCache } from '../../src/backends/base-context-cache.ts';
import { Outcomes } from '../../src/engine/outcome.ts';
import { AgentContextCache, InMemoryContextCache } from '../../src/index.ts';

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);
beforeAll(() => {
  process.on('unhandledRejection', note);
});
afterAll(() => {
  process.off('unhandledRejection', note);
});
afterEach(() => {
  expect(unhandled.splice(0)).toEqual([]);
});

/** A primary that answers asynchronously and refuses writes. */
class Refusing extends InMemoryContextCache {
  override readonly synchronous = false as never;
  override set(): never {
    return Promise.reject(new Error('refused')) as never;
  }
}

function watched(primaryCache?: BaseContextCache) {
  const errors: Error[] = [];
  const cache = new AgentContextCache({ primaryCache, onError: (error) => errors.push(error) });
  return { cache, errors };
}

type Failing = (cache: AgentContextCache) => Promise<unknown>;

const FAILING: readonly (readonly [string, Failing])[] = [
  ['a refused name', (cache) => cache.set('\ud800', 1)],
  ['a conflict', (cache) => cache.set('key', 1, 'default', { ifVersion: 7 })],
  ['an unknown option', (cache) => cache.set('key', 1, 'default', { tll: 1 } as never)],
  ['a batch', (cache) => cache.batch([{ operation: 'set', key: '\ud800', value: 1 }])],
  ['an update', (cache) => cache.update('key', () => Number.NaN)],
  ['an update that waits', (cache) => cache.update('key', () => Promise.reject(new Error('no value')))],
  ['a getOrSet', (cache) => cache.getOrSet('missing', () => Promise.reject(new Error('no value')))],
  ['a transaction', (cache) => cache.transaction([{ operation: 'check', key: 'key', ifVersion: 7 }])],
  [
    'a transaction of two namespaces',
    (cache) =>
      cache.transaction([
        { operation: 'check', key: 'key', ifVersion: 7 },
        { operation: 'set', key: 'key', value: 2, namespace: 'other' },
      ]),
  ],
  ['an unknown option of a transaction', (cache) => cache.transaction([], { tll: 1 } as never)],
  ['a transact', (cache) => cache.transact(() => Promise.reject(new Error('not done')))],
  ['changes', (cache) => cache.changes({ since: -1 })],
  ['an ask', (cache) => cache.ask({ type: 'context.set', key: '\ud800', value: 1 })],
];

const HANDLED: readonly (readonly [string, (promise: Promise<unknown>) => Promise<unknown>])[] = [
  [
    'await',
    async (promise) => {
      try {
        await promise;
      } catch {}
    },
  ],
  ['catch', (promise) => promise.catch(() => {})],
  ['then with two functions', (promise) => promise.then(undefined, () => {})],
  ['Promise.all', (promise) => Promise.all([promise]).catch(() => {})],
  ['Promise.allSettled', (promise) => Promise.allSettled([promise])],
  ['Promise.race', (promise) => Promise.race([promise]).catch(() => {})],
  ['a return from an async function', (promise) => (async () => promise)().catch(() => {})],
  [
    'a handler some microtasks later',
    async (promise) => {
      await null;
      await null;
      await promise.catch(() => {});
    },
  ],
];

for (const [what, fail] of FAILING) {
  test.each(HANDLED)(`does not report ${what} that is handled by %s`, async (_, handle) => {
    const { cache, errors } = watched();
    await cache.set('key', 1);
    await handle(fail(cache));
    await nextTurn();
    await nextTurn();
    expect(errors).toEqual([]);
    expect(cache.health().errors.count).toBe(0);
    await cache.shutdown();
  });

  test(`reports ${what} that is not handled, once`, async () => {
    const { cache, errors } = watched();
    await cache.set('key', 1);
    void fail(cache);
    await nextTurn();
    await nextTurn();
    expect(errors).toHaveLength(1);
    expect(cache.health().errors.count).toBe(1);
    await cache.shutdown();
  });
}

test('does not report a refusal of an asynchronous primary that is handled, and reports one that is not', async () => {
  const { cache, errors } = watched(new Refusing());
  await expect(cache.set('key', 1)).rejects.toThrow('refused');
  await nextTurn();
  expect(errors).toEqual([]);
  void cache.set('key', 1);
  while (errors.length === 0) await nextTurn();
  expect(errors).toHaveLength(1);
  await cache.shutdown();
});

test('completes a conflict with the value of the primary, and reports it if it is not handled', async () => {
  const { cache, errors } = watched(new InMemoryContextCache());
  await cache.set('key', 1);
  await expect(cache.set('key', 2, 'default', { ifVersion: 9 })).rejects.toMatchObject({ current: { value: 1 } });
  await nextTurn();
  expect(errors).toEqual([]);
  void cache.set('key', 2, 'default', { ifVersion: 9 });
  await nextTurn();
  await nextTurn();
  expect(errors).toMatchObject([{ code: 'VERSION_CONFLICT' }]);
  await cache.shutdown();
});

test('reports many failures of one turn, each once and in order', async () => {
  const { cache, errors } = watched();
  for (let i = 0; i < 1000; i += 1) {
    const promise = cache.set('key', 1, 'default', { ifVersion: i + 1 });
    if (i % 2 === 0) promise.catch(() => {});
  }
  await nextTurn();
  expect(errors).toHaveLength(500);
  await cache.shutdown();
});

test('an outcome that cannot be begun is reported and needs no handler', async () => {
  const errors: Error[] = [];
  const outcomes = new Outcomes((error) => errors.push(error));
  const begin = () => {
    throw new Error('not begun');
  };
  outcomes.pending(begin, { source: 'command' });
  await nextTurn();
  await nextTurn();
  expect(errors).toMatchObject([{ message: 'not begun' }]);
  await expect(outcomes.pending(begin, { source: 'command' })).rejects.toThrow('not begun');
});
