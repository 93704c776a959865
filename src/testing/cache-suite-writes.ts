import assert from 'node:assert/strict';
import type { Appended } from '../core/command.ts';
import { VersionConflictError } from '../core/conflict.ts';
import { sortNames } from '../core/names.ts';
import { failureOf } from './cache-suite-values.ts';
import type { CacheCheck } from './served-cache.ts';

/** Leaves out the ids that a client gives to its writes by itself. */
const own = (operationId: string | undefined) => (operationId?.startsWith('o-') ? operationId : undefined);

/** Checks of who writes and why, of conditions, and of writes that compute their value. */
export const writeChecks: CacheCheck[] = [
  [
    'keeps meta with each write, and the operation id with its update',
    async (cache) => {
      const trace = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tags: [1, null] };
      const first = await cache.set('key', 1, 'space', { meta: trace, operationId: 'o-1' });
      assert.deepEqual((await cache.entry('key', 'space'))?.meta, trace);
      await cache.touch('key', 'space', { ttl: '1h', meta: { why: 'kept' }, agent: 'toucher' });
      assert.deepEqual((await cache.entry('key', 'space'))?.meta, { why: 'kept' });
      const { entry } = await cache.update('key', () => 2, 'space', { meta: { why: 'updated' } });
      assert.deepEqual(entry?.meta, { why: 'updated' });
      await cache.setMany({ key: 3 }, 'space', { meta: { why: 'many' }, operationId: 'o-2' });
      await cache.batch([{ operation: 'set', key: 'other', value: 1 }], 'space', { meta: { why: 'batch' } });
      await cache.delete('other', 'space', { meta: { why: 'deleted' }, operationId: 'o-3' });
      assert.equal(await cache.getOrSet('made', () => 1, 'space', { meta: { why: 'made' } }), 1);
      assert.deepEqual((await cache.entry('made', 'space'))?.meta, { why: 'made' });
      await cache.set('key', 4, 'space');
      assert.equal('meta' in ((await cache.entry('key', 'space')) ?? {}), false);
      await cache.clearNamespace('space', { meta: { why: 'cleared' } });
      await cache.dropNamespace('space', { meta: { why: 'dropped' }, operationId: 'o-4' });
      const logged: unknown[] = [];
      for await (const { meta, operationId } of cache.readLog({ from: first.position }))
        logged.push([meta, own(operationId)]);
      assert.deepEqual(logged, [
        [trace, 'o-1'],
        [{ why: 'kept' }, undefined],
        [{ why: 'updated' }, undefined],
        [{ why: 'many' }, 'o-2'],
        [{ why: 'batch' }, undefined],
        [{ why: 'deleted' }, 'o-3'],
        [{ why: 'made' }, undefined],
        [undefined, undefined],
        [{ why: 'cleared' }, undefined],
        [{ why: 'dropped' }, 'o-4'],
      ]);
      const versions: unknown[] = [];
      for await (const { meta, operationId } of cache.history('key', 'space')) versions.push([meta, own(operationId)]);
      assert.deepEqual(versions.slice(-2), [
        [{ why: 'kept' }, undefined],
        [trace, 'o-1'],
      ]);
    },
  ],
  [
    'writes only if the key is absent, present, or the value is different',
    async (cache) => {
      const first = await cache.set('key', { a: [1] }, 'space', { ifAbsent: true, ttl: '1h' });
      const taken = await failureOf(() => cache.set('key', 2, 'space', { ifAbsent: true }));
      assert.ok(taken instanceof VersionConflictError);
      assert.deepEqual([taken.expected, taken.current?.value, taken.key], [0, { a: [1] }, 'key']);
      for (const call of [
        () => cache.set('none', 2, 'space', { ifPresent: true }),
        () => cache.delete('none', 'space', { ifPresent: true }),
        () => cache.delete('none', 'nowhere', { ifPresent: true }),
        () => cache.touch('none', 'space', { ttl: '1h', ifPresent: true }),
        () => cache.increment('none', 1, 'space', { ifPresent: true }),
        () => cache.update('none', () => assert.fail('called'), 'space', { ifPresent: true }),
      ]) {
        const missing = await failureOf(call);
        assert.ok(missing instanceof VersionConflictError, missing.message);
        assert.deepEqual([missing.expected, missing.current], [-2, undefined]);
      }
      const entry = await cache.entry('key', 'space');
      for (const options of [{ ifDifferent: true }, { ifDifferent: true, ifPresent: true, ifVersion: undefined }]) {
        assert.deepEqual(await cache.set('key', { a: [1] }, 'space', options), { ...first, changed: false });
        assert.deepEqual(await cache.update('key', (value) => value, 'space', options), {
          ...{ ...first, changed: false },
          ...{ value: { a: [1] }, entry },
        });
      }
      assert.equal((await cache.set('key', { a: [2] }, 'space', { ifDifferent: true, ifPresent: true })).changed, true);
      await failureOf(() => cache.update('key', () => assert.fail('called'), 'space', { ifAbsent: true }));
      assert.equal((await cache.update('made', () => 1, 'space', { ifAbsent: true })).value, 1);
      assert.equal((await cache.delete('made', 'space', { ifPresent: true })).changed, true);
      assert.equal(await cache.get('nothing', 'nowhere'), undefined);
    },
  ],
  [
    'leaves out the operations of a batch whose conditions do not hold, or refuses it',
    async (cache) => {
      await cache.set('a', 1, 'space');
      const operations = [
        { operation: 'set', key: 'a', value: 2, ifAbsent: true, onConflict: 'skip' },
        { operation: 'set', key: 'b', value: 2, ifAbsent: true, onConflict: 'skip' },
        { operation: 'set', key: 'b', value: 3, ifVersion: 2 },
        { operation: 'set', key: 'b', value: 3, ifDifferent: true },
        { operation: 'delete', key: 'c', ifPresent: true, onConflict: 'skip' },
        { operation: 'touch', key: 'a', ttl: '1h', ifVersion: 9, onConflict: 'skip' },
      ] as const;
      assert.deepEqual(await cache.batch(operations, 'space'), { version: 3, position: 3, changed: true });
      assert.deepEqual(await cache.getMany(['a', 'b', 'c'], 'space'), [1, 3, undefined]);
      const refused = await failureOf(() =>
        cache.batch(
          [
            { operation: 'set', key: 'd', value: 1 },
            { operation: 'delete', key: 'c', ifPresent: true },
          ],
          'space',
        ),
      );
      assert.equal(refused.code, 'VERSION_CONFLICT');
      await failureOf(() => cache.setMany({ d: 1, a: 2 }, 'space', { ifAbsent: true }));
      await cache.setMany({ d: 1, a: 2 }, 'space', { ifAbsent: true, onConflict: 'skip' });
      assert.deepEqual(await cache.getMany(['a', 'd'], 'space'), [1, 1]);
      assert.equal((await cache.setMany({ d: 1, a: 1 }, 'space', { ifDifferent: true })).changed, false);
    },
  ],
  [
    'refuses conditions that exclude each other or make no sense',
    async (cache) => {
      const set = (options: object) => () => cache.set('key', 1, 'space', options);
      const batch = (operation: object) => () => cache.batch([operation as never], 'space');
      const calls: readonly (() => Promise<unknown>)[] = [
        set({ ifAbsent: true, ifPresent: true }),
        set({ ifAbsent: true, ifVersion: 0 }),
        set({ ifPresent: true, ifVersion: 1 }),
        set({ ifAbsent: true, ifDifferent: true }),
        set({ ifAbsent: 1 }),
        set({ ifPresent: 'yes' }),
        set({ ifDifferent: null }),
        batch({ operation: 'set', key: 'a', value: 1, onConflict: 'skip' }),
        batch({ operation: 'set', key: 'a', value: 1, ifAbsent: true, onConflict: 'ignore' }),
        batch({ operation: 'delete', key: 'a', ifAbsent: true }),
        batch({ operation: 'touch', key: 'a', ttl: 1, ifDifferent: true }),
        () => cache.increment('a', Number.NaN, 'space'),
        () => cache.increment('a', '1' as never, 'space'),
      ];
      for (const call of calls) assert.equal((await failureOf(call)).code, 'INVALID_COMMAND');
      for (const call of [
        set({ onConflict: 'skip' }),
        () => cache.delete('a', 'space', { ifAbsent: true } as never),
        () => cache.touch('a', 'space', { ttl: 1, ifDifferent: true } as never),
        () => cache.setMany({ a: 1 }, 'space', { ifVersion: 0 } as never),
        () => cache.getOrSet('a', () => 1, 'space', { ifAbsent: true } as never),
        () => cache.append(1, 'space', { ifAbsent: true } as never),
      ])
        assert.equal((await failureOf(call)).code, 'INVALID_OPTION');
      assert.deepEqual(await cache.listKeys('space'), []);
    },
  ],
  [
    'increments numbers, many at a time, and keeps their expiry',
    async (cache) => {
      const sums = await Promise.all(Array.from({ length: 50 }, () => cache.increment('count', 2, 'space')));
      assert.deepEqual(
        sums.map(({ value }) => value),
        Array.from({ length: 50 }, (_, index) => 2 * (index + 1)),
      );
      assert.deepEqual(await cache.increment('count', -100.5, 'space'), {
        ...{ version: 51, position: 51, changed: true },
        value: -0.5,
      });
      const expiresAt = 4_102_444_800_000;
      await cache.increment('limited', 1, 'space', { expiresAt, agent: 'counter', meta: { why: 'limit' } });
      await cache.increment('limited', undefined, 'space');
      const entry = await cache.entry('limited', 'space');
      assert.deepEqual([entry?.value, entry?.expiresAt, entry?.agent], [2, expiresAt, null]);
      await cache.increment('limited', 0, 'space', { expiresAt: null });
      assert.equal((await cache.entry('limited', 'space'))?.expiresAt, null);
      await cache.setMany(
        { text: '1', nothing: null, list: [], most: Number.MAX_SAFE_INTEGER, huge: 1.7e308 },
        'space',
      );
      for (const key of ['text', 'nothing', 'list', 'most'])
        assert.equal((await failureOf(() => cache.increment(key, 1, 'space'))).code, 'INVALID_VALUE');
      assert.equal((await failureOf(() => cache.increment('huge', 1.7e308, 'space'))).code, 'INVALID_VALUE');
      assert.deepEqual(await cache.ask({ type: 'context.increment', key: 'count', namespace: 'space' }), {
        ...{ version: 60, position: 60, changed: true },
        value: 0.5,
      });
    },
  ],
  [
    'appends in order, and gives no key twice',
    async (cache) => {
      const options = { prefix: 'message:', agent: 'writer', meta: { why: 'said' }, operationId: 'o-1' };
      const { key: first, ...acknowledgement } = await cache.append({ text: 'hello' }, 'space', options);
      assert.deepEqual([first, acknowledgement], ['message:a1', { version: 1, position: 1, changed: true }]);
      const { agent, meta, value } = (await cache.entry(first, 'space')) ?? {};
      assert.deepEqual([agent, meta, value], ['writer', { why: 'said' }, { text: 'hello' }]);
      const given = [first];
      for (let round = 0; round < 5; round += 1) {
        const appended = await Promise.all(
          [2, 3, 4].map((each) => cache.append(each, 'space', { prefix: 'message:' })),
        );
        for (const { key } of appended) given.push(key);
        // The key of a deleted entry is not given again.
        await cache.delete(given.at(-1) as string, 'space');
      }
      assert.equal(new Set(given).size, given.length);
      assert.deepEqual(given, sortNames([...given]));
      const kept: string[] = [];
      for await (const key of cache.keys('space', { prefix: 'message:' })) kept.push(key);
      assert.deepEqual(
        kept,
        given.filter((key) => kept.includes(key)),
      );
      // A caller has set the next key.
      await cache.set('c100', 1, 'other');
      for (let index = 2; index < 100; index += 1) cache.set('key', index, 'other');
      assert.equal((await cache.append(1, 'other')).key, 'c100~');
      const asked = await cache.ask({ type: 'context.append', value: 1, namespace: 'other', ttl: '1h' });
      const answer = asked as Appended;
      assert.deepEqual(answer, { version: 101, position: answer.position, changed: true, key: 'c101' });
      assert.equal((await failureOf(() => cache.append(1, 'space', { prefix: 7 as never }))).code, 'INVALID_NAME');
      assert.equal((await failureOf(() => cache.append(undefined as never, 'space'))).code, 'INVALID_VALUE');
    },
  ],
  [
    'adds agent and meta to everything that is written through a handle of as',
    async (cache) => {
      const planner = cache.as({ agent: 'planner', meta: { task: 't-7', depth: 1 } });
      await planner.set('a', 1, 'space');
      await planner.setMany({ a: 1 }, 'space');
      await planner.batch([{ operation: 'touch', key: 'a', ttl: '1h' }], 'space');
      await planner.update('a', () => 2, 'space');
      await planner.increment('a', 1, 'space');
      await planner.append(1, 'space', { prefix: 'm:' });
      await planner.getOrSet('made', () => 1, 'space');
      await planner.namespace('space').set('a', 1);
      await planner.transaction([{ operation: 'set', key: 'b', value: 1, namespace: 'space' }]);
      await planner.delete('a', 'space');
      await planner.clearNamespace('space');
      await planner.dropNamespace('space');
      for await (const { agent, meta } of cache.readLog()) {
        assert.deepEqual([agent, meta], ['planner', { task: 't-7', depth: 1 }]);
      }
      assert.equal(planner.position, cache.position);
      // What a write says itself comes first, then the inner handle.
      const inner = planner.as({ meta: { depth: 2 } });
      await inner.set('a', 1, 'space', { meta: { why: 'said' }, operationId: 'o-1' });
      const { agent, meta } = (await cache.entry('a', 'space')) ?? {};
      assert.deepEqual([agent, meta], ['planner', { task: 't-7', depth: 2, why: 'said' }]);
      await inner.set('b', 1, 'space', { agent: 'booker' });
      assert.equal((await inner.entry('b', 'space'))?.agent, 'booker');
      await cache.set('c', 1, 'space');
      assert.equal((await cache.entry('c', 'space'))?.agent, null);
      for (const options of [{ meta: 7 }, { meta: { long: 'x'.repeat(1_000) } }, { agent: 5 }, 7, null])
        assert.ok((await failureOf(() => planner.set('d', 1, 'space', options as never))).code.startsWith('INVALID_'));
      for (const stamp of [{ agent: '' }, { meta: [] }, { agnet: 'planner' }, 7])
        assert.ok((await failureOf(async () => cache.as(stamp as never))).code.startsWith('INVALID_'));
      await planner.flush();
    },
  ],
  [
    'keeps the basis of a write, and a handle of as gives it what was read through it',
    async (cache) => {
      await cache.setMany({ a: 1, b: 2 }, 'space');
      const planner = cache.as({ agent: 'planner' }, { basis: true });
      await planner.set('first', 1, 'space');
      assert.deepEqual(await planner.getMany(['a', 'none'], 'space'), [1, undefined]);
      await planner.set('second', 1, 'space');
      await planner.namespace('space').get('b');
      await planner.update('second', () => 2, 'space');
      await planner.increment('a', 1, 'space');
      await planner.batch([{ operation: 'delete', key: 'b' }], 'space');
      await planner.transaction([{ operation: 'set', key: 'x', value: 1 }]);
      await planner.set('y', 1, undefined, { basis: [{ namespace: 'space', prefix: 'a', from: 1, to: 5 }] });
      await planner.set('z', 1, undefined, { basis: [{ position: 3 }, { key: 'k', version: 0 }] });
      await cache.set('none', 1);
      const read = (key: string, version: number) => ({ namespace: 'space', key, version });
      const bases: unknown[] = [];
      for await (const { key, basis } of cache.readLog({ from: 3 })) bases.push([key, basis]);
      assert.deepEqual(bases, [
        ['first', []],
        ['second', [read('first', 3), read('a', 1), read('none', 0)]],
        ['second', [read('second', 4), read('b', 2)]],
        ['a', [read('second', 5), read('a', 1)]],
        ['b', [read('a', 6)]],
        ['x', [read('a', 6)]],
        ['y', [{ namespace: 'space', prefix: 'a', from: 1, to: 5 }]],
        ['z', [{ position: 3 }, { namespace: 'default', key: 'k', version: 0 }]],
        ['none', undefined],
      ]);
      for await (const { basis } of cache.history('second', 'space')) {
        assert.deepEqual(basis, [read('second', 4), read('b', 2)]);
        break;
      }
      // a, first, second, second again, a again; what they are based on is a at position 1.
      const provenance = await cache.provenance('a', 'space');
      assert.deepEqual(
        provenance?.writes.map(({ key, version, depth }) => [key, version, depth]),
        [
          ['a', 6, 0],
          ['second', 5, 1],
          ['a', 1, 1],
          ['second', 4, 2],
          ['b', 2, 2],
          ['first', 3, 3],
        ],
      );
      assert.equal(await cache.provenance('none', 'space'), undefined);
      const { writes, agents } = await cache.impact(1);
      assert.deepEqual(
        writes.filter(({ certain }) => certain).map(({ key }) => key),
        ['a', 'second', 'a', 'second', 'b', 'x'],
      );
      assert.deepEqual(agents, [{ agent: 'planner', writes: 7 }]);
      assert.equal((await failureOf(() => cache.impact({ key: 'missing' }))).code, 'NOT_FOUND');
      await cache.set('x', 2, undefined, { agent: 'booker', basis: [{ namespace: 'space', key: 'a', version: 6 }] });
      const { contradictions } = await cache.contradictions({ namespace: 'default' });
      assert.deepEqual(
        contradictions.map(({ key, earlier, later }) => [key, earlier.agent, later.agent]),
        [['x', 'planner', 'booker']],
      );
      for (const basis of [7, [7], [{ key: 'a' }], [{ key: 'a', version: -1 }], [{ position: 1, key: 'a' }]])
        assert.equal((await failureOf(() => cache.set('k', 1, 'space', { basis } as never))).code, 'INVALID_COMMAND');
    },
  ],
  [
    'takes a write back, with what is based on it in several namespaces',
    async (cache) => {
      await cache.set('fact', 1, 'space', { meta: { n: 1 } });
      const { position, version } = await cache.set('fact', 2, 'space');
      const basis = [{ namespace: 'space', key: 'fact', version }];
      await cache.set('plan', 'x', 'trip', { agent: 'planner', basis });
      const given = { reason: 'misread', agent: 'operator', operationId: 'undo-1' };
      const marked = await cache.retract(position, { ...given, cascade: 'mark' });
      assert.deepEqual([marked.position, marked.restored.length, marked.marked.length], [5, 1, 1]);
      const { value, meta, agent, retraction } = (await cache.entry('fact', 'space')) ?? {};
      assert.deepEqual([value, meta, agent], [1, { n: 1 }, 'operator']);
      assert.deepEqual(retraction, { position, reason: 'misread' });
      assert.deepEqual((await cache.entry('plan', 'trip'))?.stale, { because: position, reason: 'misread' });
      assert.deepEqual(await cache.retract(position, { ...given, cascade: 'mark' }), marked);
      const { restored } = await cache.retract(position, { cascade: 'restore' });
      assert.deepEqual(restored, [{ namespace: 'trip', key: 'plan', removed: true }]);
      await cache.retract(6);
      await cache.retract(marked.position);
      assert.deepEqual([await cache.get('fact', 'space'), await cache.get('plan', 'trip')], [2, 'x']);
      assert.equal((await failureOf(() => cache.retract(99))).code, 'POSITION_UNAVAILABLE');
    },
  ],
  [
    'removes the keys with a prefix with one update, which names them',
    async (cache) => {
      await cache.setMany({ 'm:2': 1, 'm:1': 2, m: 3, n: 4, 'm:\u{ff5e}': 5, 'm:\u{1f600}': 6 }, 'space');
      const watch = cache.watch({ namespace: 'space' });
      const some = cache.watch({ keys: ['m:1', 'n'] });
      const options = { prefix: 'm:', agent: 'cleaner', meta: { why: 'old' }, operationId: 'o-1' };
      const cleared = await cache.clearNamespace('space', options);
      assert.deepEqual(cleared, { version: 7, position: 7, changed: true });
      assert.deepEqual([...(await cache.listKeys('space'))].sort(), ['m', 'n']);
      const { value: seen } = await watch.next();
      assert.deepEqual(
        [seen?.operation, seen?.key, seen?.value, seen?.version, seen?.agent, seen?.meta],
        ['clear', null, null, 7, 'cleaner', { why: 'old' }],
      );
      assert.deepEqual(seen?.keys, ['m:1', 'm:2', 'm:\u{ff5e}', 'm:\u{1f600}']);
      const { value: own } = await some.next();
      assert.deepEqual([own?.operation, own?.position, own?.keys], ['clear', 7, ['m:1']]);
      await some.return?.();
      await watch.return?.();
      const { changes } = await cache.changes({ since: 6 });
      assert.deepEqual(changes[0]?.keys, seen?.keys);
      const versions: unknown[] = [];
      for await (const { operation, value, version } of cache.history('m:1', 'space'))
        versions.push([operation, value, version]);
      assert.deepEqual(versions, [
        ['clear', undefined, 7],
        ['set', 2, 2],
      ]);
      assert.deepEqual(await cache.clearNamespace('space', options), cleared);
      const other = () => cache.clearNamespace('space', { ...options, prefix: 'm:1' });
      assert.equal((await failureOf(other)).code, 'OPERATION_REUSED');
      assert.equal((await cache.clearNamespace('space', { prefix: 'm:' })).changed, false);
      await cache.namespace('space').clear({ prefix: 'n' });
      assert.deepEqual(await cache.listKeys('space'), ['m']);
      assert.equal((await cache.clearNamespace('nowhere', { prefix: 'n' })).changed, false);
      await cache.ask({ type: 'context.clear', namespace: 'space', prefix: '' });
      assert.deepEqual(await cache.listKeys('space'), []);
      assert.equal((await failureOf(() => cache.clearNamespace('space', { prefix: 7 as never }))).code, 'INVALID_NAME');
      const drop = () => cache.dropNamespace('space', { prefix: 'm' } as never);
      assert.equal((await failureOf(drop)).code, 'INVALID_OPTION');
    },
  ],
];
