import assert from 'node:assert/strict';
import { OperationReusedError } from '../core/operations.ts';
import { failureOf } from './cache-suite-values.ts';
import type { CacheCheck } from './served-cache.ts';

/** Index of the `update` among the writes of the first check. */
const UPDATE = 6;

export const operationChecks: CacheCheck[] = [
  [
    'answers a repeated operation id as the first time, and does nothing',
    async (cache) => {
      const writes = [
        () => cache.set('a', { step: 1 }, 'space', { operationId: '1' }),
        () => cache.setMany({ a: 2, b: 2 }, 'space', { operationId: '2' }),
        () => cache.touch('a', 'space', { operationId: '3', ttl: '1h' }),
        () => cache.increment('visits', 2, 'space', { operationId: 'i' }),
        () => cache.append({ text: 'hello' }, 'space', { prefix: 'message:', operationId: 'a' }),
        () => cache.delete('b', 'space', { operationId: '4', agent: 'planner' }),
        () => cache.update('count', (count = 0) => Number(count) + 1, 'space', { operationId: '5' }),
        () => cache.dropNamespace('space', { operationId: '6' }),
      ];
      const answers = [];
      for (const write of writes) answers.push(await write());
      const { position } = cache;
      for (const [index, write] of writes.entries()) {
        // The entry of a repeated update is the present one.
        const { entry: _, ...again } = { entry: 0, ...(await write()) };
        const { entry: __, ...before } = { entry: 0, ...answers[index] };
        if (index === UPDATE) assert.deepEqual({ ...again, value: 1 }, before);
        else assert.deepEqual(again, before);
      }
      await cache.flush();
      assert.equal(cache.position, position);
    },
  ],
  [
    'refuses an operation id that another write had',
    async (cache) => {
      const first = await cache.set('a', 1, 'space', { operationId: 'id' });
      const error = await failureOf(() => cache.set('a', 2, 'space', { operationId: 'id' }));
      assert.ok(error instanceof OperationReusedError);
      assert.equal(error.code, 'OPERATION_REUSED');
      assert.equal(error.operationId, 'id');
      assert.deepEqual(error.acknowledgement, first);
      assert.equal(await cache.get('a', 'space'), 1);
    },
  ],
  [
    'compares the whole of a repeated increment, append or clear of a prefix',
    async (cache) => {
      const of = (operationId: string) => ({ operationId });
      const added = await cache.increment('visits', 2, 'space', of('i'));
      const appended = await cache.append(['hello'], 'space', { prefix: 'm:', ...of('a') });
      await cache.set('m:x', 1, 'space');
      const cleared = await cache.clearNamespace('space', { prefix: 'm:', ...of('c') });
      await cache.set('m:a9', 1, 'space');
      const { position } = cache;
      const others = [
        () => cache.increment('visits', 3, 'space', of('i')),
        () => cache.increment('other', 2, 'space', of('i')),
        () => cache.append(['hello'], 'space', { prefix: 'm', ...of('a') }),
        () => cache.append(['bye'], 'space', { prefix: 'm:', ...of('a') }),
        () => cache.clearNamespace('space', { prefix: 'm', ...of('c') }),
        () => cache.clearNamespace('space', { prefix: 'm:x', ...of('c') }),
        () => cache.clearNamespace('space', of('c')),
        () => cache.increment('visits', 2, 'space', of('c')),
      ];
      for (const other of others) assert.equal((await failureOf(other)).code, 'OPERATION_REUSED');
      assert.deepEqual(await cache.increment('visits', 2, 'space', of('i')), added);
      assert.deepEqual(await cache.append(['hello'], 'space', { prefix: 'm:', ...of('a') }), appended);
      assert.deepEqual(await cache.clearNamespace('space', { prefix: 'm:', ...of('c') }), cleared);
      assert.equal(cache.position, position);
    },
  ],
  [
    'decides a refused operation again',
    async (cache) => {
      const write = () => cache.set('a', 1, 'space', { operationId: 'id', ifVersion: 1 });
      assert.equal((await failureOf(write)).code, 'VERSION_CONFLICT');
      await cache.set('a', 0, 'space');
      const first = await write();
      assert.equal(first.version, 2);
      assert.deepEqual(await write(), first);
    },
  ],
  [
    'applies a transaction to several namespaces, all or nothing, in one group of updates',
    async (cache) => {
      await cache.set('budget', 100, 'trip');
      const { version } = await cache.set('task', 'book', 'todo');
      const operations = [
        { operation: 'check', namespace: 'todo', key: 'task', ifVersion: version },
        { operation: 'set', namespace: 'trip', key: 'budget', value: 10 },
        { operation: 'delete', namespace: 'todo', key: 'task' },
        { operation: 'set', key: 'paid', value: 90, ttl: '1h' },
        { operation: 'set', namespace: 'trip', key: 'hotel', value: 'Adler' },
      ] as const;
      const done = await cache.transaction(operations, { agent: 'booker', operationId: 'booking' });
      assert.deepEqual(done, {
        position: 6,
        changed: true,
        namespaces: [
          { namespace: 'todo', version: 2 },
          { namespace: 'trip', version: 3 },
          { namespace: 'default', version: 1 },
        ],
      });
      assert.deepEqual(await cache.getMany(['budget', 'hotel'], 'trip'), [10, 'Adler']);
      assert.equal(await cache.has('task', 'todo'), false);
      const updates = [];
      for await (const update of cache.readLog({ from: 3 })) updates.push(update);
      assert.equal(updates.length, 4);
      assert.ok(updates.every((update) => update.operationId === 'booking' && update.agent === 'booker'));
      assert.deepEqual(await cache.transaction(operations, { operationId: 'booking' }), done);
      const other = [{ operation: 'set', namespace: 'trip', key: 'hotel', value: 'Post' }] as const;
      const error = await failureOf(() => cache.transaction(other, { operationId: 'booking' }));
      assert.equal(error.code, 'OPERATION_REUSED');
    },
  ],
  [
    'refuses a whole transaction if one of its operations is refused',
    async (cache) => {
      await cache.set('a', 1, 'one');
      const error = await failureOf(() =>
        cache.transaction([
          { operation: 'set', namespace: 'two', key: 'b', value: 1 },
          { operation: 'set', namespace: 'one', key: 'a', value: 2, ifVersion: 7 },
        ]),
      );
      assert.equal(error.code, 'VERSION_CONFLICT');
      assert.deepEqual(await cache.listNamespaces(), ['default', 'one']);
      assert.equal(await cache.get('a', 'one'), 1);
      for (const wrong of [[{ operation: 'check', key: 'a' }], [{ operation: 'st', key: 'a' }], [null], 'all']) {
        assert.equal((await failureOf(() => cache.transaction(wrong as never))).code, 'INVALID_COMMAND');
      }
      const unknown = await failureOf(() => cache.transaction([], { agnt: 'x' } as never));
      assert.equal(unknown.code, 'INVALID_OPTION');
      assert.equal((await cache.transaction([])).changed, false);
    },
  ],
  [
    'runs a transaction again if what it has read has changed',
    async (cache) => {
      const move = () =>
        cache.transact(async (tx) => {
          const from = Number((await tx.get('balance', 'from')) ?? 100);
          tx.set('balance', from - 1, 'from');
          assert.equal(await tx.get('balance', 'from'), from - 1);
          tx.set('balance', Number((await tx.get('balance', 'to')) ?? 0) + 1, 'to');
          return from;
        });
      const seen = await Promise.all(Array.from({ length: 10 }, move));
      assert.deepEqual(
        seen.sort((a, b) => b - a),
        [100, 99, 98, 97, 96, 95, 94, 93, 92, 91],
      );
      assert.equal(await cache.get('balance', 'from'), 90);
      assert.equal(await cache.get('balance', 'to'), 10);
    },
  ],
];
