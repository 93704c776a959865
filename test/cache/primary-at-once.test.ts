import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InMemoryContextCache, type JsonValue, type VersionConflictError } from '../../src/index.ts';
import { anyDataCommand, codeOf, foldValues, historyOf, logOf, makeCache, START } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';

describe('a synchronous primary', () => {
  it('answers at once and holds the values', async () => {
    const primary = new InMemoryContextCache();
    const { cache } = makeCache({ primaryCache: primary });
    const done = cache.set('a', { b: 1 }, 'n', { agent: 'x' });
    expect(primary.get('a', 'n')).toEqual({ b: 1 });
    expect(cache.get('a', 'n')).toEqual({ b: 1 });
    expect(cache.has('a', 'n')).toBe(true);
    expect(cache.entry('a', 'n')).toEqual({
      namespace: 'n',
      key: 'a',
      value: { b: 1 },
      version: 1,
      createdAt: START,
      updatedAt: START,
      expiresAt: null,
      agent: 'x',
    });
    expect(cache.entries('n')).toEqual([cache.entry('a', 'n')]);
    expect(cache.listKeys('n')).toEqual(['a']);
    expect(cache.getMany(['a', 'b'], 'n')).toEqual([{ b: 1 }, undefined]);
    expect(cache.listNamespaces()).toEqual(['default', 'n']);
    expect(await done).toEqual({ version: 1, position: 1, changed: true });
    void cache.update('count', (count) => ((count as number | undefined) ?? 0) + 1, 'n');
    expect(cache.get('count', 'n')).toBe(1);
    await cache.dropNamespace('n');
    expect(primary.listNamespaces()).toEqual([]);
    expect(cache.listNamespaces()).toEqual(['default']);
  });

  it('keeps its earlier content as ordinary entries', async () => {
    const primary = new InMemoryContextCache();
    primary.set('old', 1, 'n');
    primary.set('older', null, 'n');
    const { cache } = makeCache({ primaryCache: primary });
    expect(cache.get('old', 'n')).toBe(1);
    expect(cache.get('older', 'n')).toBeNull();
    expect(cache.listNamespaces()).toEqual(['default', 'n']);
    expect(cache.listKeys('n')).toEqual(['old', 'older']);
    expect(cache.entry('old', 'n')).toMatchObject({ value: 1, version: 1 });
    const conflict = await cache.set('old', 2, 'n', { ifVersion: 0 }).catch((error: VersionConflictError) => error);
    expect(conflict).toMatchObject({ code: 'VERSION_CONFLICT', current: { value: 1, version: 1 } });
    // Each of its two keys was adopted with an update, so that every follower gets it too.
    expect(await cache.set('old', 2, 'n', { ifVersion: 1 })).toMatchObject({ version: 3, changed: true });
    const updates = [];
    for await (const { operation, key, value, agent } of cache.readLog())
      updates.push({ operation, key, value, agent });
    expect(updates.slice(0, 2)).toEqual([
      { operation: 'set', key: 'old', value: 1, agent: null },
      { operation: 'set', key: 'older', value: null, agent: null },
    ]);
    expect(await cache.delete('older', 'n')).toMatchObject({ changed: true });
    expect(primary.listKeys('n')).toEqual(['old']);
    expect(await cache.clearNamespace('n')).toMatchObject({ changed: true });
    expect(primary.listKeys('n')).toEqual([]);
  });

  it('is read before a delete or a clear of a namespace that is new to the cache', async () => {
    const primary = new InMemoryContextCache();
    primary.set('old', 1, 'n');
    primary.set('old', 1, 'm');
    const { cache } = makeCache({ primaryCache: primary });
    expect(await cache.delete('old', 'n')).toMatchObject({ changed: true });
    expect(await cache.dropNamespace('m')).toMatchObject({ changed: true });
    expect(cache.listNamespaces()).toEqual(['default', 'n']);
  });

  it('rejects the command if it refuses a write, and nothing has changed', async () => {
    const primary = new PickyMemory();
    const { cache } = makeCache({ primaryCache: primary });
    await cache.set('a', 1, 'n');
    primary.refused = 'a';
    for (const ask of [() => cache.set('a', 2, 'n'), () => cache.delete('a', 'n')]) {
      await expect(ask()).rejects.toMatchObject({ code: 'BACKEND_FAILED', cause: { message: 'refused' } });
    }
    expect(cache.get('a', 'n')).toBe(1);
    expect(cache.position).toBe(1);
    expect(await cache.set('b', 1, 'n')).toMatchObject({ version: 2 });
  });

  it('gets the earlier writes of a batch undone if it refuses one', async () => {
    const primary = new PickyMemory();
    const { cache } = makeCache({ primaryCache: primary });
    await cache.set('a', 'before', 'n');
    await cache.set('gone', 'before', 'n');
    primary.refused = 'bad';
    const batch = cache.batch(
      [
        { operation: 'set', key: 'a', value: 1 },
        { operation: 'set', key: 'a', value: 2 },
        { operation: 'set', key: 'new', value: 3 },
        { operation: 'delete', key: 'gone' },
        { operation: 'set', key: 'bad', value: 4 },
      ],
      'n',
    );
    expect(await codeOf(batch)).toBe('BACKEND_FAILED');
    expect(Object.fromEntries(primary.listKeys('n').map((key) => [key, primary.get(key, 'n')]))).toEqual({
      a: 'before',
      gone: 'before',
    });
    expect(cache.position).toBe(2);
    expect(
      cache
        .entries('n')
        .map(({ key, version }) => [key, version])
        .sort(),
    ).toEqual([
      ['a', 1],
      ['gone', 2],
    ]);
  });

  it('has its entries expired by the cache', async () => {
    const primary = new InMemoryContextCache();
    const { cache, clock } = makeCache({ primaryCache: primary });
    await cache.set('a', 1, 'n', { ttl: 10 });
    clock.increment(10);
    expect(primary.get('a', 'n')).toBeUndefined();
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 expire a']);
  });

  it('ends with the same content as the fold of the log', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyDataCommand, { maxLength: 40 }), async (commands) => {
        const primary = new InMemoryContextCache();
        const { cache } = makeCache({ primaryCache: primary });
        for (const command of commands) cache.supervisor.send(command);
        const content = Object.fromEntries(
          primary
            .listNamespaces()
            .filter((name) => primary.listKeys(name).length > 0)
            .map((name) => [
              name,
              Object.fromEntries(primary.listKeys(name).map((key) => [key, primary.get(key, name) as JsonValue])),
            ]),
        );
        expect(content).toEqual(foldValues(await logOf(cache)));
      }),
      fcOptions(100),
    );
  });
});

class PickyMemory extends InMemoryContextCache {
  refused: string | undefined;

  override set(key: string, value: JsonValue, namespace: string): void {
    if (key === this.refused) throw new Error('refused');
    super.set(key, value, namespace);
  }

  override delete(key: string, namespace: string): boolean {
    if (key === this.refused) throw new Error('refused');
    return super.delete(key, namespace);
  }
}
