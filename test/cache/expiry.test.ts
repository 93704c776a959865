import { describe, expect, it, vi } from 'vitest';
import { codeOf, historyOf, logOf, makeCache, START } from '../support/cache.ts';

describe('expiry', () => {
  it.each<[string, object, number | null]>([
    ['ttl in milliseconds', { ttl: 500 }, START + 500],
    ['ttl as text', { ttl: '10s' }, START + 10_000],
    ['expiresAt as an instant', { expiresAt: START + 7 }, START + 7],
    ['expiresAt as a Date', { expiresAt: new Date(START + 8) }, START + 8],
    ['expiresAt null', { expiresAt: null }, null],
  ])('is set by %s', async (_what, options, expiresAt) => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', options);
    expect(cache.entry('a', 'n')?.expiresAt).toBe(expiresAt);
    clock.set((expiresAt ?? START + 1e9) - 1);
    expect(cache.get('a', 'n')).toBe(1);
    clock.increment(1);
    expect(cache.has('a', 'n')).toBe(expiresAt === null);
  });

  it('writes an update that watch, subscribe and the log show', async () => {
    const { cache, clock } = makeCache();
    const heard: string[] = [];
    cache.subscribe(({ operation, key }) => heard.push(`${operation} ${key}`));
    const watch = cache.watch({ namespace: 'n' });
    await cache.set('a', 1, 'n', { ttl: 10 });
    await cache.set('b', 1, 'n', { ttl: 5 });
    clock.increment(20);
    await cache.flush();
    expect(heard).toEqual(['set a', 'set b', 'expire b', 'expire a']);
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 set b', 'n 3 expire b', 'n 4 expire a']);
    expect((await logOf(cache))[3]).toMatchObject({
      key: 'a',
      value: null,
      replaced: 1,
      agent: null,
      at: START + 20,
      expiresAt: null,
    });
    const seen: string[] = [];
    for await (const { operation, key } of watch) {
      seen.push(`${operation} ${key}`);
      if (seen.length === 4) break;
    }
    expect(seen).toEqual(heard);
    expect(cache.listNamespaces()).toEqual(['default', 'n']);
  });

  it('hides an entry at once, even before the sweep', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { ttl: 10 });
    await cache.set('b', 2, 'n');
    // Time passes, but no timer has fired.
    vi.spyOn(clock, 'now').mockReturnValue(START + 10);
    expect(cache.get('a', 'n')).toBeUndefined();
    expect(cache.has('a', 'n')).toBe(false);
    expect(cache.entry('a', 'n')).toBeUndefined();
    expect(cache.entries('n').map(({ key }) => key)).toEqual(['b']);
    expect(cache.listKeys('n')).toEqual(['b']);
    expect(cache.getMany(['a', 'b'], 'n')).toEqual([undefined, 2]);
    expect(cache.position).toBe(2);
    const watch = cache.watch({ namespace: 'n', include: 'snapshot' });
    expect((await watch.next()).value).toMatchObject({ key: 'b', snapshot: true });
    expect(await cache.set('a', 3, 'n', { ifVersion: 0 })).toMatchObject({ version: 4 });
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 set b', 'n 3 expire a', 'n 4 set a']);
  });

  it('of several entries is written before the command that finds them expired', async () => {
    const { cache, clock } = makeCache();
    await cache.setMany({ a: 1, b: 1, c: 1 }, 'n', { ttl: 10 });
    vi.spyOn(clock, 'now').mockReturnValue(START + 10);
    expect(await cache.set('d', 1, 'n')).toMatchObject({ version: 7 });
    expect((await historyOf(cache)).slice(3).sort()).toEqual([
      'n 4 expire a',
      'n 5 expire b',
      'n 6 expire c',
      'n 7 set d',
    ]);
  });

  it('is judged at the instant of the command: deleting an expired entry changes nothing itself', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { ttl: 10 });
    vi.spyOn(clock, 'now').mockReturnValue(START + 10);
    expect(await cache.delete('a', 'n')).toMatchObject({ version: 2, changed: false });
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 expire a']);
  });

  it('can be postponed, advanced and removed by touch, which keeps the value', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', { x: 1 }, 'n', { ttl: 10, agent: 'x' });
    clock.increment(9);
    expect(await cache.touch('a', 'n', { ttl: 10, agent: 'y' })).toMatchObject({ version: 2, changed: true });
    clock.increment(9);
    expect(cache.entry('a', 'n')).toMatchObject({
      value: { x: 1 },
      version: 2,
      agent: 'y',
      createdAt: START,
      expiresAt: START + 19,
    });
    await cache.touch('a', 'n', { expiresAt: null });
    clock.increment(1_000_000);
    expect(cache.get('a', 'n')).toEqual({ x: 1 });
    await cache.touch('a', 'n', { ttl: 1 });
    clock.increment(1);
    expect(cache.has('a', 'n')).toBe(false);
    expect((await historyOf(cache)).at(-1)).toBe('n 5 expire a');
    expect(await codeOf(cache.touch('a', 'n', {}))).toBe('INVALID_COMMAND');
  });

  it('is removed by a set without one', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { ttl: 10 });
    await cache.set('a', 2, 'n');
    clock.increment(1_000);
    expect(cache.get('a', 'n')).toBe(2);
    expect(cache.position).toBe(2);
  });

  it('happens at once if the instant has passed', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { expiresAt: START - 1 });
    expect(cache.get('a', 'n')).toBeUndefined();
    clock.increment(0);
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 expire a']);
  });

  it('does not fire early for a distant instant', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { ttl: '400 days' });
    await cache.set('b', 1, 'm', { ttl: '1s' });
    clock.increment(1_000);
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'm 1 set b', 'm 2 expire b']);
    clock.increment(400 * 86_400_000);
    expect(cache.position).toBe(4);
  });

  it('applies to entries set by a batch too', async () => {
    const { cache, clock } = makeCache();
    await cache.batch(
      [
        { operation: 'set', key: 'a', value: 1, ttl: 5 },
        { operation: 'set', key: 'b', value: 1 },
        { operation: 'touch', key: 'b', ttl: 6 },
      ],
      'n',
    );
    clock.increment(6);
    expect((await historyOf(cache)).slice(3)).toEqual(['n 4 expire a', 'n 5 expire b']);
  });
});
