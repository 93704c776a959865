import assert from 'node:assert/strict';
import type { BaseContextCache, LogMark } from '../backends/base-context-cache.ts';
import { createUpdate, type Operation, type Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { Check } from './check.ts';
import { AWKWARD_KEYS, AWKWARD_NAMES, AWKWARD_VALUES, sameValue } from './edge-cases.ts';

/** Returns the backend if it takes batches of updates. */
interface Mirror {
  readonly apply: (updates: readonly Update[], after: number, through: number, log?: string) => Promise<void>;
  readonly position: (log?: string) => Promise<number | undefined>;
  readonly reset: (position: number, log?: string) => Promise<void>;
}

const LOG = 'log-1';
const LATER = 4_102_444_800_000;

function mirrorOf(cache: BaseContextCache): Mirror | undefined {
  const { signal } = new AbortController();
  if (cache.applyUpdates === undefined) return undefined;
  return {
    apply: async (updates, after, through, log = LOG) => {
      const mark: LogMark = { log, after, through };
      await cache.applyUpdates?.(updates, mark, signal);
    },
    position: async (log = LOG) => cache.appliedPosition?.(log, signal),
    reset: async (position, log = LOG) => cache.resetPosition?.(log, position, signal),
  };
}

interface Fields {
  readonly key?: string | null;
  readonly value?: JsonValue;
  readonly namespace?: string;
  readonly expiresAt?: number | null;
  readonly drop?: boolean;
}

function update(position: number, operation: Operation, fields: Fields = {}): Update {
  const { key = 'key', value = null, namespace = 'space', expiresAt = null, drop = false } = fields;
  const bytes = JSON.stringify(value).length;
  const made = createUpdate({ namespace, version: position, operation, key, value, at: 0, expiresAt, drop, bytes });
  made.position = position;
  return made;
}

const set = (position: number, value: JsonValue, fields: Fields = {}) => update(position, 'set', { ...fields, value });
const clear = (position: number, fields: Fields = {}) => update(position, 'clear_namespace', { ...fields, key: null });

const check = (name: string, run: (mirror: Mirror, cache: BaseContextCache) => Promise<void>): Check => [
  `mirror: ${name}`,
  async (cache) => {
    const mirror = mirrorOf(cache);
    if (mirror !== undefined) await run(mirror, cache);
  },
];

const refused = { name: 'MirrorMismatchError', code: 'BACKEND_FAILED' };

/** Checks backends with `applyUpdates`; others pass without a check. */
export const mirrorChecks: Check[] = [
  check('keeps a position per log, unknown at first', async (mirror) => {
    assert.equal(await mirror.position(), undefined);
    await mirror.reset(7);
    assert.equal(await mirror.position(), 7);
    assert.equal(await mirror.position('log-2'), undefined);
    await mirror.reset(0, '__proto__');
    assert.equal(await mirror.position('__proto__'), 0);
    assert.equal(await mirror.position(), 7);
  }),
  check('takes the first updates of a log without a position', async (mirror, cache) => {
    await mirror.apply([set(1, 'one')], 0, 1);
    assert.equal(await cache.get('key', 'space'), 'one');
    assert.equal(await mirror.position(), 1);
  }),
  check('applies every operation in order', async (mirror, cache) => {
    await mirror.reset(10);
    await cache.set('old', 1, 'cleared');
    await cache.set('old', 1, 'dropped');
    const updates = [
      set(11, 'one', { key: 'kept' }),
      set(12, 'two', { key: 'kept' }),
      set(13, 'x', { key: 'deleted' }),
      update(14, 'delete', { key: 'deleted' }),
      set(15, 'x', { key: 'expired', expiresAt: LATER }),
      update(16, 'expire', { key: 'expired' }),
      set(17, 'x', { key: 'evicted' }),
      update(18, 'evict', { key: 'evicted' }),
      set(19, 'touched', { key: 'touched', expiresAt: LATER }),
      update(20, 'touch', { key: 'touched', expiresAt: LATER + 1 }),
      update(21, 'touch', { key: 'touched', expiresAt: null }),
      clear(22, { namespace: 'cleared' }),
      clear(23, { namespace: 'dropped', drop: true }),
      set(24, 'x', { namespace: 'again' }),
      clear(25, { namespace: 'again', drop: true }),
      set(26, 'back', { namespace: 'again', key: 'other' }),
      set(27, 'x', { namespace: 'emptied' }),
      update(28, 'delete', { namespace: 'emptied' }),
    ];
    await mirror.apply(updates, 10, 30);
    assert.equal(await mirror.position(), 30);
    assert.deepEqual([...(await cache.listKeys('space'))].sort(), ['kept', 'touched']);
    assert.equal(await cache.get('kept', 'space'), 'two');
    assert.equal(await cache.get('touched', 'space'), 'touched');
    assert.deepEqual(await cache.listKeys('cleared'), []);
    assert.deepEqual(await cache.listKeys('dropped'), []);
    assert.deepEqual(await cache.listKeys('again'), ['other']);
    assert.deepEqual([...(await cache.listNamespaces())].sort(), ['again', 'cleared', 'emptied', 'space']);
  }),
  check('ignores a batch that is delivered again', async (mirror, cache) => {
    await mirror.apply([set(1, 'old'), set(2, 'x', { key: 'gone' })], 0, 2);
    await mirror.apply([set(3, 'new'), update(4, 'delete', { key: 'gone' })], 2, 4);
    await mirror.apply([set(1, 'old'), set(2, 'x', { key: 'gone' })], 0, 2);
    await mirror.apply([set(3, 'stale')], 2, 3);
    assert.equal(await cache.get('key', 'space'), 'new');
    assert.deepEqual(await cache.listKeys('space'), ['key']);
    assert.equal(await mirror.position(), 4);
  }),
  check('takes only the missing rest of a batch', async (mirror, cache) => {
    await mirror.apply([set(1, 'one'), set(2, 'two')], 0, 2);
    await mirror.apply([set(1, 'one'), set(2, 'two'), set(3, 'three', { key: 'third' })], 0, 3);
    await cache.set('key', 'untouched', 'space');
    await mirror.apply([set(2, 'two'), set(4, 'four', { key: 'third' })], 1, 4);
    assert.equal(await cache.get('key', 'space'), 'untouched');
    assert.equal(await cache.get('third', 'space'), 'four');
    assert.equal(await mirror.position(), 4);
  }),
  check('refuses a batch that does not continue from its position, and changes nothing', async (mirror, cache) => {
    await assert.rejects(mirror.apply([set(6, 'x')], 5, 6), refused);
    await mirror.reset(3);
    await assert.rejects(mirror.apply([set(6, 'x')], 5, 6), { ...refused, stored: 3 });
    await assert.rejects(mirror.apply([set(6, 'x')], 5, 6, 'log-2'), { ...refused, stored: undefined });
    assert.equal(await cache.get('key', 'space'), undefined);
    assert.deepEqual(await cache.listNamespaces(), []);
    assert.equal(await mirror.position(), 3);
  }),
  check('moves the position with a batch without updates', async (mirror) => {
    await mirror.apply([], 0, 9);
    await mirror.apply([], 9, 9);
    assert.equal(await mirror.position(), 9);
  }),
  check('stores awkward names and values', async (mirror, cache) => {
    const triples = AWKWARD_KEYS.map((key, index) => {
      const namespace = AWKWARD_NAMES[index - 1] ?? `space ${index}`;
      return [namespace, key, AWKWARD_VALUES[index % AWKWARD_VALUES.length] ?? null] as const;
    });
    const updates = triples.map(([namespace, key, value], index) => set(index + 1, value, { namespace, key }));
    await mirror.apply(updates, 0, updates.length);
    for (const [namespace, key, value] of triples) {
      assert.deepEqual(await cache.listKeys(namespace), [key]);
      sameValue(await cache.get(key, namespace), value);
    }
  }),
  check('stores many updates of several megabytes whole', async (mirror, cache) => {
    const updates = Array.from({ length: 12_000 }, (_, index) =>
      set(index + 1, `${index} ${'x'.repeat(300)}`, { key: `key ${index % 9_000}`, namespace: `space ${index % 3}` }),
    );
    await mirror.apply(updates, 0, updates.length);
    assert.equal(await mirror.position(), updates.length);
    assert.equal((await cache.listKeys('space 1')).length, 3_000);
    assert.match(String(await cache.get('key 0', 'space 0')), /^9000 x/);
    assert.match(String(await cache.get('key 8999', 'space 2')), /^8999 x/);
  }),
  check('does nothing when its signal was aborted before', async (_mirror, cache) => {
    const signal = AbortSignal.abort(new Error('enough'));
    const mark = { log: LOG, after: 0, through: 1 };
    await assert.rejects(async () => cache.applyUpdates?.([set(1, 'x')], mark, signal));
    assert.equal(await cache.get('key', 'space'), undefined);
  }),
];
