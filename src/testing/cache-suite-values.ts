import assert from 'node:assert/strict';
import type { WriteOptions } from '../core/command.ts';
import { VersionConflictError } from '../core/conflict.ts';
import { ContextCacheError, InvalidValueError } from '../core/errors.ts';
import type { JsonValue } from '../core/value.ts';
import { AWKWARD_KEYS, AWKWARD_NAMES, AWKWARD_VALUES, sameValue } from './edge-cases.ts';
import type { CacheCheck } from './served-cache.ts';

const sorted = (names: readonly string[]) => [...names].sort();

/** Resolves with the error of a call that must fail. */
export async function failureOf(call: () => unknown): Promise<ContextCacheError> {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof ContextCacheError, `not an error of this package: ${String(error)}`);
    return error;
  }
  return assert.fail('nothing was thrown');
}

export const readingChecks: CacheCheck[] = [
  [
    'a new cache is empty but for the default namespace',
    async (cache) => {
      assert.equal(await cache.get('key'), undefined);
      assert.equal(await cache.has('key', 'space'), false);
      assert.equal(await cache.entry('key', 'space'), undefined);
      assert.deepEqual(await cache.getMany(['a', 'b'], 'space'), [undefined, undefined]);
      assert.deepEqual(await cache.getMany([], 'space'), []);
      assert.deepEqual(await cache.entries('space'), []);
      assert.deepEqual(await cache.listKeys('space'), []);
      assert.deepEqual(await cache.listNamespaces(), ['default']);
    },
  ],
  [
    'tells a stored null from a miss, alone and among many',
    async (cache) => {
      await cache.set('null', null, 'space');
      assert.equal(await cache.get('null', 'space'), null);
      assert.equal(await cache.has('null', 'space'), true);
      assert.deepEqual(await cache.getMany(['miss', 'null', 'miss'], 'space'), [undefined, null, undefined]);
    },
  ],
  [
    'returns awkward values as they were stored, frozen',
    async (cache) => {
      for (const [index, value] of AWKWARD_VALUES.entries()) await cache.set(`v${index}`, value, 'space');
      const keys = AWKWARD_VALUES.map((_, index) => `v${index}`);
      sameValue(await cache.getMany(keys, 'space'), AWKWARD_VALUES);
      for (const [index, value] of AWKWARD_VALUES.entries()) {
        const read = await cache.get(`v${index}`, 'space');
        sameValue(read, value);
        assert.ok(Object.isFrozen(read));
      }
      const proto = await cache.get(`v${AWKWARD_VALUES.length - 1}`, 'space');
      assert.equal((proto as { polluted?: unknown }).polluted, undefined);
    },
  ],
  [
    'keeps awkward names apart',
    async (cache) => {
      for (const [index, name] of AWKWARD_NAMES.entries()) await cache.set(name, index, name);
      for (const [index, name] of AWKWARD_NAMES.entries()) {
        assert.equal(await cache.get(name, name), index);
        assert.deepEqual(await cache.listKeys(name), [name]);
      }
      const listed = await cache.listNamespaces();
      assert.deepEqual(sorted(listed), sorted(['default', ...AWKWARD_NAMES]));
    },
  ],
  [
    'takes every key: an empty one, and one of 8 KiB',
    async (cache) => {
      for (const [index, key] of AWKWARD_KEYS.entries()) await cache.set(key, index, 'space');
      assert.deepEqual(sorted(await cache.listKeys('space')), sorted(AWKWARD_KEYS));
      assert.equal((await cache.entry('', 'space'))?.key, '');
      for (const [index, key] of AWKWARD_KEYS.entries()) assert.equal(await cache.get(key, 'space'), index);
      const first: string[] = [];
      for await (const key of cache.keys('space', { limit: 1 })) first.push(key);
      assert.deepEqual(first, ['']);
      const histories: unknown[] = [];
      for await (const { operation, value } of cache.history('', 'space')) histories.push([operation, value]);
      assert.deepEqual(histories, [['set', 0]]);
      const before = cache.position;
      for (const key of AWKWARD_KEYS) await cache.touch(key, 'space', { ttl: '1h' });
      for (const key of AWKWARD_KEYS) assert.equal((await cache.delete(key, 'space')).changed, true);
      assert.deepEqual(await cache.listKeys('space'), []);
      assert.equal(cache.position, before + 2 * AWKWARD_KEYS.length);
    },
  ],
  [
    'refuses keys beyond the limit, and reads of them find nothing',
    async (cache) => {
      const key = 'k'.repeat(8_193);
      const refused = { code: 'INVALID_NAME', message: /8192 bytes.*limits\.maxKeyBytes/ };
      await assert.rejects(async () => cache.set(key, 1, 'space'), refused);
      await assert.rejects(async () => cache.setMany([[key, 1]], 'space'), refused);
      await assert.rejects(async () => cache.batch([{ operation: 'set', key, value: 1 }], 'space'), refused);
      await assert.rejects(async () => cache.update(key, () => 1, 'space'), refused);
      assert.equal(await cache.get(key, 'space'), undefined);
      assert.equal((await cache.delete(key, 'space')).changed, false);
    },
  ],
  [
    'returns entries with version, instants and agent',
    async (cache) => {
      await cache.set('a', 1, 'space', { agent: 'planner' });
      await cache.set('b', 2, 'space', { expiresAt: 4_102_444_800_000 });
      const entry = await cache.entry('a', 'space');
      assert.equal(entry?.createdAt, entry?.updatedAt);
      assert.deepEqual(
        { ...entry, createdAt: 0, updatedAt: 0 },
        {
          ...{ namespace: 'space', key: 'a', value: 1, version: 1, createdAt: 0, updatedAt: 0 },
          ...{ expiresAt: null, agent: 'planner' },
        },
      );
      const entries = await cache.entries('space');
      assert.deepEqual(sorted(entries.map(({ key }) => key)), ['a', 'b']);
      assert.equal(entries.find(({ key }) => key === 'b')?.expiresAt, 4_102_444_800_000);
      assert.deepEqual(
        entries.find(({ key }) => key === 'a'),
        entry,
      );
    },
  ],
  [
    'lists, returns and clears thousands of keys',
    async (cache) => {
      const keys = Array.from({ length: 1_000 }, (_, index) => `key ${index}`);
      await Promise.all(keys.map((key, index) => cache.set(key, { index, text: 'x'.repeat(100) }, 'large')));
      assert.deepEqual(sorted(await cache.listKeys('large')), sorted(keys));
      assert.equal((await cache.entries('large')).length, 1_000);
      const values = await cache.getMany(keys, 'large');
      assert.deepEqual(
        values.map((value) => (value as { index: number }).index),
        keys.map((_, index) => index),
      );
      await cache.clearNamespace('large');
      assert.deepEqual(await cache.listKeys('large'), []);
    },
  ],
  [
    'refuses names that are none, in reads and writes',
    async (cache) => {
      const calls: (() => unknown)[] = [
        () => cache.get('\uD800'),
        () => cache.get('key', ''),
        () => cache.getMany(['fine', '\uD800'], 'space'),
        () => cache.has('x'.repeat(65_537)),
        () => cache.entry('\ud800'),
        () => cache.entries(''),
        () => cache.listKeys(7 as never),
        () => cache.set('\uD800', 1),
        () => cache.delete('\uD800', 'space'),
        () => cache.dropNamespace(''),
        () => cache.batch([{ operation: 'set', key: '\uD800', value: 1 }]),
      ];
      for (const call of calls) assert.equal((await failureOf(call)).code, 'INVALID_NAME', String(call));
      assert.deepEqual(await cache.listNamespaces(), ['default']);
    },
  ],
];

export const writingChecks: CacheCheck[] = [
  [
    'acknowledges writes with version, position and whether they changed anything',
    async (cache) => {
      const { position } = await cache.set('a', 1, 'space');
      assert.deepEqual(await cache.set('a', 2, 'space'), { version: 2, position: position + 1, changed: true });
      assert.deepEqual(await cache.delete('a', 'space'), { version: 3, position: position + 2, changed: true });
      const nothing = await cache.delete('a', 'space');
      assert.deepEqual([nothing.version, nothing.changed], [3, false]);
      await cache.set('b', 1, 'space');
      assert.equal((await cache.clearNamespace('space')).changed, true);
      assert.equal((await cache.clearNamespace('space')).changed, false);
      assert.equal((await cache.dropNamespace('space')).changed, true);
      assert.deepEqual(await cache.listNamespaces(), ['default']);
      assert.equal((await cache.set('b', 1, 'space', { ifVersion: 0 })).version, 7);
      assert.equal((await failureOf(() => cache.set('b', 2, 'space', { ifVersion: 4 }))).code, 'VERSION_CONFLICT');
      assert.ok(cache.position >= position + 5);
    },
  ],
  [
    'executes calls that are not awaited in their order, reads included',
    async (cache, { visible }) => {
      const calls = [
        cache.set('key', 1, 'space'),
        cache.delete('key', 'space'),
        cache.set('key', 2, 'space'),
        cache.batch([{ operation: 'set', key: 'other', value: 3 }], 'space'),
      ];
      if (visible === 'when resolved') await Promise.all(calls);
      const read = cache.getMany(['key', 'other'], 'space');
      assert.deepEqual(await read, [2, 3]);
      await Promise.all(calls);
    },
  ],
  [
    'refuses a stale write with the present entry',
    async (cache) => {
      const { version } = await cache.set('key', { step: 1 }, 'space', { agent: 'one' });
      const error = await failureOf(() => cache.set('key', 2, 'space', { ifVersion: version + 5 }));
      assert.ok(error instanceof VersionConflictError);
      assert.deepEqual(
        [error.code, error.namespace, error.key, error.expected, error.name],
        ['VERSION_CONFLICT', 'space', 'key', version + 5, 'VersionConflictError'],
      );
      assert.deepEqual(error.current, await cache.entry('key', 'space'));
      const missing = await failureOf(() => cache.delete('none', 'space', { ifVersion: 3 }));
      assert.ok(missing instanceof VersionConflictError);
      assert.equal(missing.current, undefined);
      assert.deepEqual((await cache.set('key', 2, 'space', { ifVersion: version })).version, version + 1);
      assert.equal((await failureOf(() => cache.set('key', 3, 'space', { ifVersion: 0 }))).code, 'VERSION_CONFLICT');
    },
  ],
  [
    'refuses values that are not JSON, with the path',
    async (cache) => {
      const values: readonly (readonly [unknown, string])[] = [
        [{ deep: [1, Number.NaN] }, '$.deep[1]'],
        [new Date(0), '$'],
        [{ call: () => 1 }, '$.call'],
        ['\ud800', '$'],
        [undefined, '$'],
      ];
      for (const [value, path] of values) {
        const error = await failureOf(() => cache.set('key', value as JsonValue, 'space'));
        assert.ok(error instanceof InvalidValueError);
        assert.deepEqual([error.code, error.path], ['INVALID_VALUE', path]);
      }
      const inBatch = await failureOf(() => cache.setMany({ fine: 1, bad: Number.NaN }, 'space'));
      assert.equal(inBatch.code, 'INVALID_VALUE');
      assert.deepEqual(await cache.listKeys('space'), []);
    },
  ],
  [
    'refuses options that it does not know, and options that are wrong',
    async (cache) => {
      const mistyped = await failureOf(() => cache.set('key', 1, 'space', { tll: 5 } as WriteOptions));
      assert.deepEqual(
        [mistyped.code, mistyped.message],
        ['INVALID_OPTION', 'set has no option tll. Did you mean ttl?'],
      );
      const calls: readonly (readonly [string, () => unknown])[] = [
        ['INVALID_OPTION', () => cache.setMany({ a: 1 }, 'space', { ifVersion: 1 } as WriteOptions)],
        ['INVALID_OPTION', () => cache.batch([], 'space', { ttl: 1 } as never)],
        ['INVALID_OPTION', () => cache.update('key', () => 1, 'space', { agnet: 'x' } as never)],
        ['INVALID_OPTION', () => cache.getOrSet('key', () => 1, 'space', { ifVersion: 1 } as never)],
        ['INVALID_OPTION', () => cache.watch({ namespaces: 'a' } as never)],
        ['INVALID_OPTION', () => cache.watch({ since: 0, include: 'snapshot' })],
        ['INVALID_OPTION', () => cache.watch({ bufferSize: 0 })],
        ['INVALID_OPTION', () => cache.subscribe(() => {}, { name: 'a' } as never)],
        ['INVALID_OPTION', () => cache.diff(0, 0, { namespaces: 'a' } as never)],
        ['INVALID_OPTION', () => cache.at(-1)],
        ['INVALID_OPTION', () => cache.at('1' as never)],
        ['INVALID_OPTION', () => cache.at(new Date(Number.NaN))],
        ['INVALID_COMMAND', () => cache.set('key', 1, 'space', { ttl: 0 })],
        ['INVALID_COMMAND', () => cache.set('key', 1, 'space', { ttl: Number.NaN })],
        ['INVALID_COMMAND', () => cache.set('key', 1, 'space', { ttl: 'soon' })],
        ['INVALID_COMMAND', () => cache.set('key', 1, 'space', { ttl: 1, expiresAt: 1 })],
        ['INVALID_COMMAND', () => cache.set('key', 1, 'space', { agent: '' })],
        ['INVALID_COMMAND', () => cache.set('key', 1, 'space', { meta: { text: 'x'.repeat(1_024) } })],
        ['INVALID_COMMAND', () => cache.clearNamespace('space', { operationId: '' })],
        ['INVALID_COMMAND', () => cache.set('key', 1, 'space', { ifVersion: -1 })],
        ['INVALID_COMMAND', () => cache.touch('key', 'space', {})],
        ['INVALID_COMMAND', () => cache.batch([{ operation: 'set', key: 'a', value: 1, agent: 'x' } as never])],
        ['INVALID_COMMAND', () => cache.ask({ type: 'context.sett' } as never)],
        ['INVALID_COMMAND', () => cache.ask({ type: 'context.get', key: 'a', namespcae: 'b' } as never)],
        ['POSITION_UNAVAILABLE', () => cache.at(1_000)],
      ];
      for (const [code, call] of calls) assert.equal((await failureOf(call)).code, code, String(call));
      assert.deepEqual(await cache.listKeys('space'), []);
    },
  ],
  [
    'expires and touches entries',
    async (cache) => {
      await cache.set('short', 1, 'space', { ttl: 30 });
      await cache.set('past', 1, 'space', { expiresAt: new Date(1) });
      await cache.set('kept', 1, 'space', { ttl: '1h' });
      assert.equal(await cache.get('past', 'space'), undefined);
      await cache.touch('kept', 'space', { expiresAt: null });
      assert.equal((await cache.entry('kept', 'space'))?.expiresAt, null);
      const later = new Date(4_102_444_800_000);
      await cache.touch('kept', 'space', { expiresAt: later, agent: 'toucher' });
      const entry = await cache.entry('kept', 'space');
      assert.deepEqual([entry?.expiresAt, entry?.agent], [later.getTime(), 'toucher']);
      while ((await cache.get('short', 'space')) !== undefined) await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(await cache.listKeys('space'), ['kept']);
    },
  ],
  [
    'applies a batch completely or not at all',
    async (cache) => {
      const operations = [
        { operation: 'set', key: 'a', value: { n: 1 }, ttl: '1h' },
        { operation: 'set', key: 'b', value: 2, expiresAt: new Date(4_102_444_800_000) },
        { operation: 'delete', key: 'a', ifVersion: 1 },
        { operation: 'touch', key: 'b', expiresAt: null },
      ] as const;
      assert.deepEqual(await cache.batch(operations, 'space', { agent: 'one' }), {
        ...{ version: 4, position: 4, changed: true },
      });
      const failed = await failureOf(() =>
        cache.batch(
          [
            { operation: 'set', key: 'c', value: 1 },
            { operation: 'delete', key: 'b', ifVersion: 77 },
          ],
          'space',
        ),
      );
      assert.ok(failed instanceof VersionConflictError && failed.key === 'b');
      assert.deepEqual(await cache.listKeys('space'), ['b']);
      assert.equal((await cache.entry('b', 'space'))?.agent, 'one');
      await cache.setMany([['x', 1]] as const, 'space');
      await cache.setMany({ y: 2, z: 3 }, 'space', { agent: 'two', ttl: '1h' });
      assert.deepEqual(sorted(await cache.listKeys('space')), ['b', 'x', 'y', 'z']);
    },
  ],
  [
    'updates atomically while others write',
    async (cache) => {
      const add = (value: JsonValue | undefined) => (typeof value === 'number' ? value : 0) + 1;
      await Promise.all(Array.from({ length: 20 }, () => cache.update('count', add, 'space')));
      assert.equal(await cache.get('count', 'space'), 20);
      const result = await cache.update('count', async (value) => add(value), 'space', { agent: 'counter' });
      assert.equal(result.value, 21);
      assert.deepEqual(result.entry, await cache.entry('count', 'space'));
      const left = await cache.update('count', () => undefined, 'space');
      assert.deepEqual([left.changed, left.value, left.version], [false, 21, result.version]);
      const missing = await cache.update('none', () => undefined, 'space');
      assert.deepEqual([missing.changed, missing.value, missing.entry], [false, undefined, undefined]);
      const stale = await failureOf(() => cache.update('count', add, 'space', { ifVersion: 1 }));
      assert.equal(stale.code, 'VERSION_CONFLICT');
      await assert.rejects(
        cache.update(
          'count',
          () => {
            throw new TypeError('mine');
          },
          'space',
        ),
        TypeError,
      );
    },
  ],
  [
    'makes a missing value once for concurrent callers',
    async (cache) => {
      let made = 0;
      const make = async () => {
        made += 1;
        return { made };
      };
      const values = await Promise.all(Array.from({ length: 10 }, () => cache.getOrSet('key', make, 'space')));
      assert.deepEqual(new Set(values.map((value) => JSON.stringify(value))), new Set(['{"made":1}']));
      assert.deepEqual(await cache.getOrSet('key', make, 'space'), { made: 1 });
      assert.equal(made, 1);
    },
  ],
  [
    'answers typed commands as the methods do',
    async (cache) => {
      await cache.ask({ type: 'context.set', key: 'a', value: [1], namespace: 'space', expiresAt: new Date(1e13) });
      assert.deepEqual(await cache.ask({ type: 'context.get', key: 'a', namespace: 'space' }), [1]);
      assert.equal(await cache.ask({ type: 'context.get', key: 'b', namespace: 'space' }), undefined);
      assert.deepEqual(await cache.ask({ type: 'context.keys', namespace: 'space' }), ['a']);
      assert.equal(await cache.ask({ type: 'cache.flush' }), undefined);
      const error = await failureOf(() =>
        cache.ask({ type: 'context.set', key: 'a', value: 1, namespace: 'space', ifVersion: 9 }),
      );
      assert.ok(error instanceof VersionConflictError && error.current?.version === 1);
    },
  ],
  [
    'gives a handle for one namespace',
    async (cache) => {
      const trip = cache.namespace('trip');
      assert.equal(trip.name, 'trip');
      await trip.set('plan', 'search');
      await trip.update('plan', (plan) => `${String(plan)}, book`);
      assert.equal(await trip.get('plan'), 'search, book');
      assert.equal((await trip.entry('plan'))?.version, 2);
      await trip.delete('plan');
      await trip.set('budget', 1);
      assert.deepEqual(await trip.listKeys(), ['budget']);
      await trip.clear();
      assert.deepEqual(await cache.listKeys('trip'), []);
    },
  ],
];
