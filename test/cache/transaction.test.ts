import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createUpdate } from '../../src/core/update.ts';
import { InMemoryContextCache } from '../../src/index.ts';
import { DiskLog } from '../../src/storage/disk/log/disk-log.ts';
import { makeCache, simulatedClock } from '../support/cache.ts';
import { open, stateOf } from '../support/durable.ts';
import { fcOptions } from '../support/property.ts';
import { tempDir } from '../support/temp-dir.ts';

describe('a transaction', () => {
  it('reaches watchers and subscribers whole, in one turn', async () => {
    const { cache } = makeCache();
    const turns: string[][] = [];
    let turn: string[] | undefined;
    cache.subscribe(({ namespace, key }) => {
      if (turn === undefined) {
        turn = [];
        turns.push(turn);
        setImmediate(() => {
          turn = undefined;
        });
      }
      turn.push(`${namespace}/${key}`);
    });
    await cache.transaction([
      { operation: 'set', namespace: 'n', key: 'a', value: 1 },
      { operation: 'set', namespace: 'm', key: 'b', value: 2 },
    ]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns).toEqual([['n/a', 'm/b']]);
  });

  it('removes what has expired first, so that its updates follow each other', async () => {
    const { cache, clock } = makeCache();
    await cache.set('old', 1, 'm', { ttl: 10 });
    clock.increment(5);
    await cache.set('old', 1, 'n', { ttl: 10 });
    clock.increment(100);
    const operations = [
      { operation: 'set', namespace: 'n', key: 'a', value: 1 },
      { operation: 'set', namespace: 'm', key: 'old', value: 2, ifVersion: 0 },
    ] as const;
    const done = await cache.transaction(operations, { operationId: 'id' });
    expect(done).toMatchObject({ position: 6 });
    expect(await cache.transaction(operations, { operationId: 'id' })).toEqual(done);
  });

  it('is whole in views at its position and at instants, and shows its part at a position within', async () => {
    for (const make of [() => makeCache(), async () => open({ dataDir: await tempDir('views') })]) {
      const { cache, clock } = await make();
      await cache.set('a', 0, 'n');
      clock.increment(10);
      const { position } = await cache.transaction([
        { operation: 'set', namespace: 'n', key: 'a', value: 1 },
        { operation: 'set', namespace: 'm', key: 'b', value: 1 },
        { operation: 'set', namespace: 'n', key: 'c', value: 1 },
      ]);
      const at = new Date(clock.now());
      await cache.set('a', 2, 'n');
      const shown = (when: number | Date) => {
        using view = cache.at(when);
        return [view.get('a', 'n'), view.get('b', 'm'), view.get('c', 'n')];
      };
      expect(shown(position)).toEqual([1, 1, 1]);
      // The updates of each namespace follow each other.
      expect(shown(position - 1)).toEqual([1, undefined, 1]);
      expect(shown(position - 2)).toEqual([1, undefined, undefined]);
      expect(shown(position - 3)).toEqual([0, undefined, undefined]);
      expect(shown(new Date(at.getTime() - 1))).toEqual([0, undefined, undefined]);
      expect(shown(at)).toEqual([2, 1, 1]);
    }
  });

  it('refuses several namespaces over a primary of its own', async () => {
    const { cache } = makeCache({ primaryCache: new InMemoryContextCache() });
    const write = { operation: 'set', key: 'a', value: 1 } as const;
    expect(await cache.transaction([write])).toMatchObject({ changed: true });
    const both = cache.transaction([write, { ...write, namespace: 'other' }]);
    await expect(both).rejects.toMatchObject({ code: 'INVALID_COMMAND' });
  });

  it('waits for an asynchronous primary that is busy', async () => {
    /** Writes take a while. */
    class Slow extends InMemoryContextCache {
      override readonly synchronous = false as never;
      override async set(...given: Parameters<InMemoryContextCache['set']>) {
        await new Promise((resolve) => setImmediate(resolve));
        return super.set(...given);
      }
    }
    const { cache } = makeCache({ primaryCache: new Slow() });
    const first = cache.set('a', 1);
    const done = await cache.transaction([
      { operation: 'check', key: 'a', ifVersion: 1 },
      { operation: 'set', key: 'b', value: 2 },
    ]);
    expect(done).toEqual({ position: 2, changed: true, namespaces: [{ namespace: 'default', version: 2 }] });
    expect(await first).toMatchObject({ version: 1 });
    expect(await cache.get('b')).toBe(2);
  });

  it('is in one group of the log, however much waits to be written', async () => {
    const log = await DiskLog.open({ dataDir: await tempDir('together'), sync: false });
    const update = (version: number) =>
      createUpdate({ namespace: 'n', version, operation: 'set', key: 'k', value: 'x', at: 1, bytes: 9 * 1024 * 1024 });
    const groups: number[] = [];
    log.onCommit((updates) => groups.push(updates.length));
    log.append([update(1)]);
    log.append([update(2)]);
    log.together(() => {
      for (let version = 3; version <= 8; version += 1) log.append([update(version)]);
    });
    log.append([update(9)]);
    await log.close();
    expect(groups).toEqual([2, 6, 1]);
  });

  it('is applied whole or not at all, and is the same after a restart', async () => {
    const operation = fc.record({
      namespace: fc.constantFrom('n', 'm', 'default'),
      key: fc.constantFrom('a', 'b'),
      kind: fc.constantFrom('set', 'delete', 'check'),
      version: fc.integer({ min: 0, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(operation, { maxLength: 5 }), { maxLength: 12 }), async (transactions) => {
        const clock = simulatedClock();
        const dataDir = await tempDir('transaction');
        const { cache } = await open({ dataDir, clock });
        for (const operations of transactions) {
          const before = stateOf(cache);
          const given = operations.map(({ namespace, key, kind, version }) => {
            if (kind === 'set') return { operation: 'set', namespace, key, value: version } as const;
            if (kind === 'delete') return { operation: 'delete', namespace, key } as const;
            return { operation: 'check', namespace, key, ifVersion: version } as const;
          });
          const answer = await cache.transaction(given).catch((error) => error.code);
          if (answer === 'VERSION_CONFLICT') expect(stateOf(cache)).toEqual(before);
          else expect(answer.position).toBe(cache.position);
        }
        const state = stateOf(cache);
        await cache.shutdown();
        const again = await open({ dataDir, clock });
        expect(stateOf(again.cache)).toEqual(state);
        await again.cache.shutdown();
      }),
      fcOptions(10),
    );
  });
});
