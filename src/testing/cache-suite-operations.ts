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
];
