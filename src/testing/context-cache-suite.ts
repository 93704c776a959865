import assert from 'node:assert/strict';
import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { Check } from './check.ts';
import { mirrorChecks } from './context-cache-mirror-checks.ts';
import { compareWithModel } from './context-cache-model.ts';
import { AWKWARD_KEYS, AWKWARD_NAMES, AWKWARD_VALUES, sameValue } from './edge-cases.ts';

/** A backend under test. */
export interface CacheUnderTest {
  /** New and empty. */
  readonly cache: BaseContextCache;
  /** Closes the cache and removes its data. Called at the end of each test. */
  readonly dispose: () => Promise<void> | void;
}

/** Options of {@link contextCacheSuite}. */
export interface ContextCacheSuiteOptions {
  /** `test` or `it` of the test runner: of vitest, jest or `node:test`. */
  readonly test: ((name: string, run: () => Promise<void>) => unknown) & {
    readonly skip: (name: string, run: () => Promise<void>) => unknown;
  };
  /** Opens a backend. Called for each test. */
  readonly open: () => CacheUnderTest | Promise<CacheUnderTest>;
  /** Tests to skip, by name, with the reason. An unknown name throws. */
  readonly skips?: Readonly<Record<string, string>>;
  /** Number of random call sequences to compare with a model. Default 20. */
  readonly runs?: number;
  /** Seed of the random sequences. Default 1. */
  readonly seed?: number;
}

/**
 * Defines the tests that every backend must pass, for any test runner. Optional methods of `BaseContextCache` are tested if the
 * backend has them.
 *
 * @example
 * ```ts
 * import { describe, test } from 'vitest';
 * describe('MyCache', () => contextCacheSuite({ test, open: () => ({ cache: new MyCache(), dispose() {} }) }));
 * ```
 */
export function contextCacheSuite({ test, open, skips = {}, runs = 20, seed = 1 }: ContextCacheSuiteOptions): void {
  const checks = [...basicChecks, ...nameChecks, ...wholeChecks, ...mirrorChecks, modelCheck(runs, seed)];
  for (const skipped of Object.keys(skips)) {
    assert.ok(
      checks.some(([title]) => title === skipped),
      `There is no test "${skipped}" to skip.`,
    );
  }
  for (const [title, run] of checks) {
    const body = async () => {
      const { cache, dispose } = await open();
      try {
        await run(cache);
      } finally {
        await dispose();
      }
    };
    const reason = skips[title];
    if (reason === undefined) test(title, body);
    else test.skip(`${title} (${reason})`, body);
  }
}

const sorted = (names: readonly string[]) => [...names].sort();

const basicChecks: Check[] = [
  [
    'a new cache is empty, and reading leaves it so',
    async (cache) => {
      assert.equal(await cache.get('key', 'space'), undefined);
      assert.deepEqual(await cache.listKeys('space'), []);
      assert.deepEqual(await cache.getMany(['key'], 'space'), [undefined]);
      assert.deepEqual(await cache.listNamespaces(), []);
    },
  ],
  [
    'a value that is set is there, and setting again replaces it',
    async (cache) => {
      await cache.set('key', 'first', 'space');
      await cache.set('key', { second: [2] }, 'space');
      sameValue(await cache.get('key', 'space'), { second: [2] });
      assert.deepEqual(await cache.listKeys('space'), ['key']);
      assert.deepEqual(await cache.listNamespaces(), ['space']);
    },
  ],
  [
    'a stored null is null, a miss is undefined',
    async (cache) => {
      await cache.set('null', null, 'space');
      assert.equal(await cache.get('null', 'space'), null);
      assert.deepEqual(await cache.getMany(['null', 'miss'], 'space'), [null, undefined]);
      assert.deepEqual(await cache.listKeys('space'), ['null']);
    },
  ],
  [
    'a delete removes one key and tells whether it was there',
    async (cache) => {
      await cache.set('a', 1, 'space');
      await cache.set('b', 2, 'space');
      assert.equal(await cache.delete('a', 'space'), true);
      assert.equal(await cache.delete('a', 'space'), false);
      assert.equal(await cache.delete('a', 'elsewhere'), false);
      assert.equal(await cache.get('a', 'space'), undefined);
      assert.deepEqual(await cache.listKeys('space'), ['b']);
    },
  ],
  [
    'a namespace whose last key is deleted stays listed',
    async (cache) => {
      await cache.set('a', 1, 'space');
      await cache.delete('a', 'space');
      assert.deepEqual(await cache.listKeys('space'), []);
      assert.deepEqual(await cache.listNamespaces(), ['space']);
    },
  ],
  [
    'a clear empties one namespace, which stays listed and can be used again',
    async (cache) => {
      await cache.set('a', 1, 'cleared');
      await cache.set('b', 2, 'cleared');
      await cache.set('a', 3, 'other');
      await cache.clearNamespace('cleared');
      assert.deepEqual(await cache.listKeys('cleared'), []);
      assert.equal(await cache.get('a', 'cleared'), undefined);
      assert.equal(await cache.get('a', 'other'), 3);
      assert.deepEqual(sorted(await cache.listNamespaces()), ['cleared', 'other']);
      await cache.set('a', 4, 'cleared');
      assert.deepEqual(await cache.listKeys('cleared'), ['a']);
    },
  ],
  [
    'a drop empties one namespace and takes it off the list',
    async (cache) => {
      await cache.set('a', 1, 'dropped');
      await cache.set('a', 2, 'other');
      await cache.dropNamespace('dropped');
      assert.deepEqual(await cache.listKeys('dropped'), []);
      assert.equal(await cache.get('a', 'dropped'), undefined);
      assert.deepEqual(await cache.listNamespaces(), ['other']);
      await cache.set('b', 3, 'dropped');
      assert.deepEqual(await cache.listKeys('dropped'), ['b']);
    },
  ],
  [
    'clearing and dropping what is not there is fine',
    async (cache) => {
      await cache.clearNamespace('never');
      await cache.dropNamespace('never');
      assert.deepEqual(await cache.listKeys('never'), []);
      assert.deepEqual(await cache.listNamespaces(), []);
    },
  ],
];

const nameChecks: Check[] = [
  [
    'awkward keys are kept apart in one namespace',
    async (cache) => {
      for (const [index, key] of AWKWARD_KEYS.entries()) await cache.set(key, index, 'space');
      assert.deepEqual(sorted(await cache.listKeys('space')), sorted(AWKWARD_KEYS));
      for (const [index, key] of AWKWARD_KEYS.entries()) assert.equal(await cache.get(key, 'space'), index, key);
      for (const key of AWKWARD_KEYS) assert.equal(await cache.delete(key, 'space'), true, key);
      assert.deepEqual(await cache.listKeys('space'), []);
    },
  ],
  [
    'awkward namespaces are kept apart',
    async (cache) => {
      for (const [index, name] of AWKWARD_NAMES.entries()) await cache.set('key', index, name);
      assert.deepEqual(sorted(await cache.listNamespaces()), sorted(AWKWARD_NAMES));
      for (const [index, name] of AWKWARD_NAMES.entries()) {
        assert.deepEqual(await cache.listKeys(name), ['key'], name);
        assert.equal(await cache.get('key', name), index, name);
        await cache.clearNamespace(name);
        assert.equal(await cache.get('key', name), undefined, name);
      }
      for (const name of AWKWARD_NAMES) await cache.dropNamespace(name);
      assert.deepEqual(await cache.listNamespaces(), []);
    },
  ],
  [
    'a:b + c and a + b:c are two entries',
    async (cache) => {
      const pairs = [
        ['a:b', 'c'],
        ['a', 'b:c'],
        ['a%3Ab', 'c'],
        ['a%', '3Ab:c'],
      ] as const;
      for (const [index, [namespace, key]] of pairs.entries()) await cache.set(key, index, namespace);
      await cache.clearNamespace('a');
      assert.equal(await cache.get('b:c', 'a'), undefined);
      assert.equal(await cache.get('c', 'a:b'), 0);
      assert.equal(await cache.get('c', 'a%3Ab'), 2);
      assert.equal(await cache.get('3Ab:c', 'a%'), 3);
    },
  ],
];

const wholeChecks: Check[] = [
  [
    'awkward values come back as they were',
    async (cache) => {
      for (const [index, value] of AWKWARD_VALUES.entries()) await cache.set(`value ${index}`, value, 'space');
      for (const [index, value] of AWKWARD_VALUES.entries())
        sameValue(await cache.get(`value ${index}`, 'space'), value);
      const keys = AWKWARD_VALUES.map((_, index) => `value ${index}`);
      sameValue(await cache.getMany(keys, 'space'), AWKWARD_VALUES);
    },
  ],
  [
    'getMany answers in the order of the keys, repeated and missing ones included',
    async (cache) => {
      await cache.set('a', 1, 'space');
      await cache.set('b', 2, 'space');
      assert.deepEqual(await cache.getMany(['b', 'none', 'a', 'b'], 'space'), [2, undefined, 1, 2]);
      assert.deepEqual(await cache.getMany([], 'space'), []);
    },
  ],
  [
    'thousands of keys are found, listed and cleared',
    async (cache) => {
      const keys = Array.from({ length: 2_500 }, (_, index) => `key ${index}`);
      await Promise.all(keys.map(async (key, index) => cache.set(key, index, 'large')));
      await cache.set('key 0', 'mine', 'small');
      assert.deepEqual(sorted(await cache.listKeys('large')), sorted(keys));
      sameValue(
        await cache.getMany(keys, 'large'),
        keys.map((_, index) => index),
      );
      await cache.clearNamespace('large');
      assert.deepEqual(await cache.listKeys('large'), []);
      assert.equal(await cache.get('key 2499', 'large'), undefined);
      assert.equal(await cache.get('key 0', 'small'), 'mine');
    },
  ],
  [
    'calls that are not awaited take effect in their order',
    async (cache) => {
      const calls = [1, 2, 3].map(async (value) => cache.set('key', value, 'space'));
      await Promise.all([
        ...calls,
        cache.delete('key', 'space'),
        cache.set('key', 4, 'space'),
        cache.set('key', 5, 'space'),
      ]);
      assert.equal(await cache.get('key', 'space'), 5);
    },
  ],
  [
    'setting and touching an expiry in the future keeps the value',
    async (cache) => {
      const later = 4_102_444_800_000; // 2100
      await cache.set('key', 'value', 'space', { expiresAt: later });
      assert.equal(await cache.get('key', 'space'), 'value');
      await cache.touch('key', 'space', later + 1000.5);
      await cache.touch('key', 'space', null);
      await cache.touch('none', 'space', later);
      assert.equal(await cache.get('key', 'space'), 'value');
      assert.deepEqual(await cache.listKeys('space'), ['key']);
    },
  ],
  [
    'connecting twice and closing twice is fine',
    async (cache) => {
      const { signal } = new AbortController();
      await cache.connect?.(signal);
      await cache.connect?.(signal);
      await cache.close?.();
      await cache.close?.();
    },
  ],
  [
    'a closed cache opens again at the next call',
    async (cache) => {
      await cache.set('key', 1, 'space');
      await cache.close?.();
      await cache.set('other', 2, 'space');
      assert.equal(await cache.get('other', 'space'), 2);
    },
  ],
];

function modelCheck(runs: number, seed: number): Check {
  return [
    'any sequence of calls ends as it does in plain maps',
    async (cache) => {
      for (let run = 0; run < runs; run += 1) await compareWithModel(cache, seed + run);
    },
  ];
}
