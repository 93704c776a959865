import assert from 'node:assert/strict';
import type { CacheCheck } from './served-cache.ts';

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
        logged.push([meta, operationId]);
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
      for await (const { meta, operationId } of cache.history('key', 'space')) versions.push([meta, operationId]);
      assert.deepEqual(versions.slice(-2), [
        [{ why: 'kept' }, undefined],
        [trace, 'o-1'],
      ]);
    },
  ],
];
