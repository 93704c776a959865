import { describe, expect, it, vi } from 'vitest';
import type { JsonValue } from '../../src/index.ts';
import { codeOf, makeCache, START, turns } from '../support/cache.ts';

describe('update', () => {
  it('applies a synchronous function at once', async () => {
    const { cache } = makeCache();
    const done = cache.update('count', (count) => ((count as number | undefined) ?? 0) + 1, 'n');
    expect(cache.get('count', 'n')).toBe(1);
    expect(await done).toMatchObject({ version: 1, position: 1, changed: true, value: 1 });
    await Promise.all(Array.from({ length: 100 }, () => cache.update('count', (count) => (count as number) + 1, 'n')));
    expect(cache.get('count', 'n')).toBe(101);
  });

  it('calls an asynchronous function again if another writer changed the entry meanwhile', async () => {
    const { cache } = makeCache();
    await Promise.all(
      Array.from({ length: 20 }, () =>
        cache.update(
          'count',
          async (count) => {
            await turns(1);
            return ((count as number | undefined) ?? 0) + 1;
          },
          'n',
        ),
      ),
    );
    expect(cache.get('count', 'n')).toBe(20);
    expect(cache.position).toBe(20);
  });

  it('passes undefined for a miss and null for null, and leaves the entry unchanged if the function returns undefined', async () => {
    const { cache, failures } = makeCache();
    const seen: unknown[] = [];
    const look = (value: JsonValue | undefined) => void seen.push(value);
    await cache.update('a', look, 'n');
    await cache.set('a', null, 'n');
    expect(await cache.update('a', look, 'n')).toMatchObject({ changed: false });
    expect(seen).toEqual([undefined, null]);
    expect(cache.position).toBe(1);
    expect(failures).toEqual([]);
  });

  it('resolves with the new value and entry, and keeps createdAt', async () => {
    const { cache, clock } = makeCache();
    await cache.set('plan', { steps: 1 }, 'n', { agent: 'planner' });
    clock.increment(1_000);
    const result = await cache.update('plan', () => ({ steps: 2 }), 'n', { agent: 'booker', ttl: '1h' });
    expect(result).toEqual({
      ...{ version: 2, position: 2, changed: true },
      ...{ value: { steps: 2 }, entry: cache.entry('plan', 'n') },
    });
    expect(result.entry?.createdAt).toBe((result.entry?.updatedAt ?? 0) - 1_000);
    expect((await cache.update('missing', () => undefined)).entry).toBeUndefined();
    expect(await cache.update('new', () => 1)).toMatchObject({ value: 1, entry: cache.entry('new') });
  });

  it('resolves with the version of the namespace if it has changed nothing', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    await cache.set('b', 1, 'n');
    expect(await cache.update('a', () => undefined, 'n')).toEqual({
      ...{ version: 2, position: 2, changed: false },
      ...{ value: 1, entry: cache.entry('a', 'n') },
    });
  });

  it('rejects with the error of the function and changes nothing', async () => {
    const { cache, failures } = makeCache();
    const failure = new Error('no');
    await expect(
      cache.update('a', () => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    await expect(
      cache.update('a', async () => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(cache.position).toBe(0);
    await turns();
    expect(failures).toEqual([]);
    void cache.update('a', () => {
      throw failure;
    });
    await turns();
    expect(failures.map(({ error }) => error)).toEqual([failure]);
  });

  it('reports an unhandled failure once, however many attempts were made', async () => {
    const { cache, failures } = makeCache();
    await cache.set('a', 0);
    let tries = 0;
    const done = cache.update('a', () => {
      tries += 1;
      if (tries === 4) throw new Error('enough');
      void cache.set('a', tries);
      return -1;
    });
    void done;
    await turns();
    expect(failures).toHaveLength(1);
  });

  it('accepts options and does not retry with an ifVersion of the caller', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    await cache.set('a', 2, 'n');
    expect(await cache.update('a', () => 3, 'n', { agent: 'x', ttl: 50, ifVersion: 2 })).toMatchObject({ version: 3 });
    expect(cache.entry('a', 'n')).toMatchObject({ agent: 'x', expiresAt: START + 50 });
    expect(await codeOf(cache.update('a', () => 4, 'n', { ifVersion: 2 }))).toBe('VERSION_CONFLICT');
    expect(cache.get('a', 'n')).toBe(3);
  });

  it('refuses an invalid value', async () => {
    const { cache } = makeCache();
    expect(await codeOf(cache.update('a', () => Number.NaN))).toBe('INVALID_VALUE');
    expect(await codeOf(cache.update('\uD800', () => 1))).toBe('INVALID_NAME');
    expect(cache.position).toBe(0);
  });
});

describe('getOrSet', () => {
  it('makes the value once for concurrent callers', async () => {
    const { cache } = makeCache();
    let made = 0;
    const make = async () => {
      made += 1;
      await turns(2);
      return { made };
    };
    const values = await Promise.all(
      Array.from({ length: 10 }, () => cache.getOrSet('a', make, 'n', { ttl: 10, agent: 'x' })),
    );
    expect(made).toBe(1);
    for (const value of values) expect(value).toEqual({ made: 1 });
    expect(cache.entry('a', 'n')).toMatchObject({ agent: 'x', expiresAt: START + 10 });
    await cache.getOrSet('a', make, 'n');
    expect(made).toBe(1);
    await cache.getOrSet('a', make, 'm');
    expect(made).toBe(2);
  });

  it('returns the value that another writer has set meanwhile', async () => {
    const { cache } = makeCache();
    const value = cache.getOrSet('a', async () => {
      await cache.set('a', 'theirs');
      return 'mine';
    });
    expect(await value).toBe('theirs');
    expect(cache.position).toBe(1);
  });

  it('makes the value again after a failure and after it has expired', async () => {
    const { cache, clock, failures } = makeCache();
    await expect(
      cache.getOrSet('a', () => {
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    await turns();
    expect(failures).toEqual([]);
    expect(await cache.getOrSet('a', () => 1, 'default', { ttl: 5 })).toBe(1);
    vi.spyOn(clock, 'now').mockReturnValue(START + 5);
    expect(await cache.getOrSet('a', () => 2)).toBe(2);
    expect(await codeOf(cache.getOrSet('b', () => undefined as never))).toBe('INVALID_VALUE');
  });
});
