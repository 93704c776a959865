import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OPERATION_MS } from '../../src/core/operations.ts';
import { InMemoryContextCache, OperationReusedError, replay } from '../../src/index.ts';
import { updateLine } from '../../src/serve/json-lines.ts';
import { LateCache, logOf, makeCache, simulatedClock } from '../support/cache.ts';
import { open, stateOf } from '../support/durable.ts';
import { fcOptions } from '../support/property.ts';
import { tempDir } from '../support/temp-dir.ts';

describe('a repeated operation id', () => {
  it('answers as the first write did, and writes nothing', async () => {
    const { cache } = makeCache();
    const first = await cache.set('a', 1, 'n', { operationId: 'one' });
    await cache.set('a', 2, 'n');
    expect(await cache.set('a', 1, 'n', { operationId: 'one', agent: 'other' })).toEqual(first);
    expect(cache.get('a', 'n')).toBe(2);
    expect(cache.position).toBe(2);
  });

  it('answers for every kind of write, also if the namespace has been dropped since', async () => {
    const { cache } = makeCache();
    const writes = [
      () => cache.set('a', 1, 'n', { operationId: '1', ttl: '1h' }),
      () => cache.touch('a', 'n', { operationId: '2', ttl: '2h' }),
      () => cache.setMany({ b: 1, c: 2 }, 'n', { operationId: '3' }),
      () =>
        cache.batch(
          [
            { operation: 'delete', key: 'none' },
            { operation: 'delete', key: 'b' },
          ],
          'n',
          { operationId: '4' },
        ),
      () => cache.delete('c', 'n', { operationId: '5' }),
      () => cache.increment('count', 5, 'n', { operationId: 'i' }),
      () => cache.append({ text: 'hello' }, 'n', { prefix: 'message:', operationId: 'a' }),
      () => cache.clearNamespace('n', { operationId: '6' }),
      () => cache.set('z', 1, 'n', { operationId: '7' }),
      () => cache.dropNamespace('n', { operationId: '8' }),
    ];
    const first = [];
    for (const write of writes) first.push(await write());
    const log = await logOf(cache);
    for (const [index, write] of writes.entries()) expect(await write()).toEqual(first[index]);
    expect(await logOf(cache)).toEqual(log);
    expect(cache.listNamespaces()).toEqual(['default']);
  });

  it('refuses another write under the same id, with the acknowledgement of the first', async () => {
    const { cache } = makeCache();
    const first = await cache.setMany({ a: 1, b: 2 }, 'n', { operationId: 'id' });
    const others = [
      cache.setMany({ a: 1, b: 3 }, 'n', { operationId: 'id' }),
      cache.setMany({ a: 1, b: 2 }, 'm', { operationId: 'id' }),
      cache.set('b', 2, 'n', { operationId: 'id' }),
      cache.delete('b', 'n', { operationId: 'id' }),
      cache.dropNamespace('n', { operationId: 'id' }),
      cache.increment('b', 1, 'n', { operationId: 'id' }),
      cache.append(2, 'n', { operationId: 'id' }),
    ];
    for (const other of await Promise.allSettled(others)) {
      expect(other).toMatchObject({ reason: { code: 'OPERATION_REUSED', operationId: 'id', acknowledgement: first } });
      expect((other as PromiseRejectedResult).reason).toBeInstanceOf(OperationReusedError);
    }
    expect(cache.position).toBe(2);
  });

  it('decides again what was refused or changed nothing', async () => {
    const { cache } = makeCache();
    await expect(cache.set('a', 1, 'n', { operationId: 'id', ifVersion: 7 })).rejects.toThrow();
    expect(await cache.delete('a', 'n', { operationId: 'id' })).toMatchObject({ changed: false });
    expect(await cache.set('a', 2, 'n', { operationId: 'id' })).toMatchObject({ changed: true });
    expect(await cache.set('a', 2, 'n', { operationId: 'id', ifVersion: 7 })).toMatchObject({ version: 1 });
  });

  it('does not call the change of an update again', async () => {
    const { cache } = makeCache();
    const count = () => cache.update('count', (value = 0) => Number(value) + 1, 'n', { operationId: 'id' });
    const first = await count();
    expect(first).toMatchObject({ version: 1, value: 1 });
    await cache.update('count', () => 10, 'n');
    expect(await count()).toMatchObject({ version: 1, position: first.position, value: 10 });
    await expect(cache.update('other', () => 1, 'n', { operationId: 'id' })).rejects.toMatchObject({
      code: 'OPERATION_REUSED',
    });
  });

  it('is recognized by a synchronous and by an asynchronous primary, even while the first waits', async () => {
    for (const primaryCache of [new InMemoryContextCache(), new LateCache()]) {
      const { cache } = makeCache({ primaryCache });
      const writes = [1, 1, 1].map((value) => cache.set('a', value, 'n', { operationId: 'id' }));
      const [first, ...repeats] = await Promise.all(writes);
      expect(repeats).toEqual([first, first]);
      expect(cache.position).toBe(1);
    }
  });

  it('is forgotten after a day', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { operationId: 'id' });
    clock.increment(OPERATION_MS + 1);
    expect(await cache.set('a', 2, 'n', { operationId: 'id' })).toMatchObject({ version: 2 });
  });

  it('is known after a restart, a restore, a fork and a replay', async () => {
    const clock = simulatedClock();
    const dataDir = await tempDir('operations');
    let { cache } = await open({ dataDir, clock });
    const snapshots = join(dataDir, 'backups');
    const first = await cache.setMany({ a: 1, b: 2 }, 'n', { operationId: 'early' });
    await cache.backup();
    const branch = await cache.fork();
    const copies = [cache, await cache.fork({ dataDir: await tempDir('operations-fork') })];
    const second = await cache.set('c', 3, 'n', { operationId: 'late' });
    expect(await branch.setMany({ a: 1, b: 2 }, 'n', { operationId: 'early' })).toEqual(first);
    await branch.shutdown();
    const lines = (await logOf(cache)).map(updateLine);
    await cache.compact({ keepUpdates: 0 });
    await cache.shutdown();
    const replayed = await replay(dataDir, { clock });
    ({ cache } = await open({ dataDir, clock }));
    copies[0] = cache;
    copies.push(replayed.cache as typeof cache, (await replay(lines, { clock })).cache as typeof cache);
    copies.push((await open({ restoreFrom: snapshots, clock })).cache);
    copies.push((await open({ restoreFrom: snapshots, dataDir: await tempDir('operations-restore'), clock })).cache);
    for (const copy of copies) {
      expect(await copy.setMany({ a: 1, b: 2 }, 'n', { operationId: 'early' })).toEqual(first);
      const again = await copy.set('c', 3, 'n', { operationId: 'late' });
      expect(again).toEqual(second);
      await copy.shutdown();
    }
  });

  it('is applied once, whatever is repeated and however often the cache is opened again', async () => {
    const write = fc.record({
      id: fc.integer({ min: 0, max: 6 }),
      kind: fc.constantFrom('set', 'set', 'delete', 'batch', 'drop', 'restart', 'compact'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(write, { minLength: 4, maxLength: 16 }), async (writes) => {
        const clock = simulatedClock();
        const dataDir = await tempDir('operations');
        let { cache } = await open({ dataDir, clock });
        const model = makeCache({ clock }).cache;
        const answers = new Map<string, unknown>();
        for (const { id, kind } of writes) {
          const operationId = `${kind} ${id}`;
          const run = (target: typeof cache) => {
            const options = { operationId };
            if (kind === 'set') return target.set(`key ${id % 2}`, id, 'n', options);
            if (kind === 'delete') return target.delete(`key ${id % 2}`, 'n', options);
            if (kind === 'batch') return target.setMany({ x: id, y: id }, 'n', options);
            return target.dropNamespace('n', options);
          };
          if (kind === 'restart') {
            await cache.shutdown();
            ({ cache } = await open({ dataDir, clock }));
          } else if (kind === 'compact') {
            await cache.compact({ keepUpdates: 0 });
          } else {
            const known = answers.get(operationId);
            const answer = await run(cache);
            if (known === undefined) expect(answer).toEqual(await run(model as typeof cache));
            else expect(answer).toEqual(known);
            if (answer.changed) answers.set(operationId, answer);
          }
        }
        expect(stateOf(cache)).toEqual(stateOf(model as typeof cache));
        expect(cache.position).toBe(model.position);
        await cache.shutdown();
      }),
      fcOptions(6),
    );
  });
});
