import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { FoldedView } from '../../src/storage/memory/views.ts';
import { codeOf, makeCache } from '../support/cache.ts';

describe('the plan of a retraction', () => {
  it('builds at most one state for a clear of many keys, and refuses one of too many', async () => {
    const { cache } = makeCache();
    const fill = async (from: number, to: number) => {
      const keys = Array.from({ length: to - from }, (_, index) => `k${from + index}`);
      await cache.setMany(Object.fromEntries(keys.map((key) => [key, key])), 'n');
    };
    await fill(0, 40);
    await cache.touch('k0', 'n', { ttl: '1h' });
    await cache.set('other', 1, 'n');
    const { position } = await cache.clearNamespace('n');
    const states = vi.spyOn(FoldedView.prototype, 'state');
    const { restored } = await cache.retract(position);
    expect(states.mock.calls.length).toBeLessThanOrEqual(1);
    states.mockRestore();
    expect(restored).toHaveLength(41);
    expect(cache.entry('k0', 'n')).toMatchObject({ value: 'k0', expiresAt: expect.any(Number) });
    for (let from = 0; from < 12_000; from += 3_000) await fill(from, from + 3_000);
    const large = await cache.clearNamespace('n');
    expect(await codeOf(cache.retract(large.position))).toBe('INVALID_COMMAND');
    expect(cache.position).toBe(large.position);
  });

  it.each(['none', 'mark'] as const)('never overwrites a write in any turn of a long plan (%s)', async (cascade) => {
    const { cache, clock } = makeCache();
    let at = clock.now();
    // Each look at the clock uses up a time slice, so that the plan takes many turns.
    vi.spyOn(clock, 'now').mockImplementation(() => (at += 5));
    const key = cascade === 'mark' ? 'dependant' : 'fact';
    const later = [
      { write: (n: string) => cache.set(key, 'later', n, { agent: 'warden', basis: [] }), left: ['later'] },
      { write: (n: string) => cache.delete(key, n, { agent: 'warden' }), left: [] },
      {
        write: async (n: string) => {
          // The version is again the one that the plan has seen.
          await cache.dropNamespace(n);
          await cache.setMany({ a: 1, fact: 'later', dependant: 'later' }, n);
        },
        left: ['later'],
      },
    ];
    for (const [which, { write, left }] of later.entries()) {
      for (let before = 0, isOver = false; !isOver; before += 1) {
        const n = `n${which}-${before}`;
        await cache.set('fact', 1, n);
        const { position, version } = await cache.set('fact', 2, n);
        await cache.set('dependant', 'old', n, { basis: [{ namespace: n, key: 'fact', version }] });
        for (let i = 0; i < 4; i += 1) await cache.set('other', i, n);
        const retracting = cache.retract(position, { cascade }).finally(() => {
          isOver = true;
        });
        for (let turn = 0; turn < before && !isOver; turn += 1) await nextTurn();
        const wasOver: boolean = isOver;
        await write(n);
        await retracting;
        isOver = wasOver;
        const shown = cache.entries(n).filter((entry) => entry.key === key);
        expect(shown.map(({ value, stale }) => stale ?? value)).toEqual(left);
      }
    }
  });
});
