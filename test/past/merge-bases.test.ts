import { describe, expect, it, vi } from 'vitest';
import type { Basis, Reading } from '../../src/core/basis.ts';
import { ContextCacheError } from '../../src/core/errors.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import { logOf, makeCache } from '../support/cache.ts';
import { open } from '../support/durable.ts';
import { durableKinds } from '../support/fork.ts';

describe.each(durableKinds)('a merge into a cache $kind', ({ dataDir }) => {
  const parent = async () => {
    const made = await open({ dataDir: await dataDir() });
    await made.cache.setMany({ a: 1, b: 2, c: 3 }, 'n', { agent: 'x' });
    await made.cache.set('k', 1, 'm');
    return made;
  };

  it('keeps what the writers in the branch had read, so that provenance, impact and retract go through it', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    const agent = (name: string) => branch.as({ agent: name }, { basis: true });
    const [scout, planner, booker] = [agent('scout'), agent('planner'), agent('booker')];
    scout.get('a', 'n');
    await scout.set('draft', 'bus', 'plans');
    planner.get('draft', 'plans');
    // The namespace of the later write is the first by name.
    await planner.set('plan', 'take the bus', 'm');
    booker.get('plan', 'm');
    await booker.set('ticket', 'bus 9:04', 'bookings');
    await branch.set('draft', 'written anew', 'plans', { agent: 'scout', basis: [] });
    await branch.set('other', 1, 'n');
    await cache.set('a', 'changed since', 'n');
    await cache.merge(branch, { onConflict: 'ours' });
    const { writes = [], open } = (await cache.provenance('ticket', 'bookings')) ?? {};
    // The draft that the planner had read was written anew in the branch: what it was based on takes its place.
    expect(writes.map(({ key, agent, depth }) => [key, agent, depth])).toEqual([
      ['ticket', 'booker', 0],
      ['plan', 'planner', 1],
      ['a', 'x', 2],
    ]);
    expect([open, writes[2]?.position]).toEqual([[], 1]);
    const { agents, writes: touched } = await cache.impact(1);
    expect(agents.map((each) => each.agent).sort()).toEqual(['booker', 'planner']);
    expect(touched.every(({ certain }) => certain)).toBe(true);
    const { restored } = await cache.retract(1, { cascade: 'restore' });
    expect(restored.map(({ key, removed }) => [key, removed])).toEqual([
      ['ticket', true],
      ['plan', true],
    ]);
    expect((await logOf(cache)).find(({ key }) => key === 'other')?.basis).toBeUndefined();
  });

  it('names a write of an earlier merge by the version that it has here', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    await cache.set('before', 1, 'plans');
    const { version } = await branch.set('plan', 'bus', 'plans', { agent: 'planner', basis: [] });
    await cache.merge(branch);
    const basis = [
      { namespace: 'plans', key: 'plan', version },
      { namespace: 'n', key: 'a', version: 1 },
    ];
    await cache.set('a', 'changed since', 'n');
    await branch.set('ticket', 1, 'plans', { agent: 'booker', basis });
    await cache.merge(branch);
    expect((await logOf(cache)).at(-1)?.basis).toEqual([
      { namespace: 'plans', key: 'plan', version: 2 },
      { namespace: 'n', key: 'a', version: 1 },
    ]);
  });

  it('keeps what a write was based on that the target had already, for later merges', async () => {
    const { cache } = await parent();
    const a = { namespace: 'n', key: 'a', version: 1 };
    const branch = await cache.fork();
    await cache.set('before', 1, 'plans');
    const plan = await branch.set('plan', 'bus', 'plans', { agent: 'planner', basis: [a, { position: 9 }] });
    await cache.set('plan', 'bus', 'plans', { agent: 'other', basis: [] });
    await branch.set('other', 'bus', 'plans', { basis: [a] });
    const { updates, position } = await cache.merge(branch);
    expect(updates).toBe(1);
    await branch.set('other', 'train', 'plans');
    await branch.set('k', 2, 'm', { basis: [] });
    await cache.merge(branch);
    const basis = [{ namespace: 'plans', key: 'plan', version: plan.version }];
    await branch.set('ticket', 1, 'plans', { agent: 'booker', basis });
    await cache.merge(branch);
    expect((await logOf(cache)).at(-1)?.basis).toEqual([
      { namespace: 'plans', key: 'plan', version: 2 },
      a,
      { position },
    ]);
    await branch.set('plan', 'train', 'plans', { basis: [] });
    const { version } = await branch.set('plan', 'bus', 'plans', { basis: [] });
    await cache.merge(branch);
    await branch.set('ticket', 2, 'plans', { basis: [{ namespace: 'plans', key: 'plan', version }] });
    await cache.merge(branch);
    expect((await logOf(cache)).at(-1)?.basis).toEqual([{ namespace: 'plans', key: 'plan', version: 2 }]);
  });

  it('names an entry of before the fork also if the target has the same value anew', async () => {
    const { cache } = await parent();
    const { version } = await cache.set('flag', 1, 'flags');
    const branch = await cache.fork();
    await cache.dropNamespace('flags');
    const anew = await cache.set('flag', 1, 'flags');
    await cache.merge(branch);
    const flag = { namespace: 'flags', key: 'flag', version };
    await branch.set('ticket', 1, 'plans', { basis: [flag] });
    await cache.merge(branch);
    expect((await logOf(cache)).at(-1)?.basis).toEqual([{ ...flag, version: anew.version }, flag]);
  });

  it('keeps what a touch had read or kept, for later merges', async () => {
    const { cache } = await parent();
    const a = { namespace: 'n', key: 'a', version: 1 };
    const branch = await cache.fork();
    await branch.set('plan', 'bus', 'plans', { basis: [] });
    const plan = await branch.touch('plan', 'plans', { ttl: '1h', basis: [a] });
    await cache.merge(branch);
    const basis = [{ namespace: 'plans', key: 'plan', version: plan.version }];
    await branch.set('ticket', 1, 'plans', { basis });
    await cache.merge(branch);
    expect((await logOf(cache)).at(-1)?.basis).toEqual([a, { namespace: 'plans', key: 'plan', version: 1 }]);
    // Nothing but a touch, of an entry of before the fork that the target has changed since.
    const other = await cache.fork();
    const { version } = await other.touch('b', 'n', { ttl: '1h' });
    await cache.set('b', 'changed since', 'n');
    await cache.merge(other, { onConflict: 'theirs' });
    await other.set('ticket', 2, 'plans', { basis: [{ namespace: 'n', key: 'b', version }] });
    await cache.merge(other);
    expect((await logOf(cache)).at(-1)?.basis).toEqual([
      { namespace: 'n', key: 'b', version: 5 },
      { namespace: 'n', key: 'b', version: 2 },
    ]);
  });

  it('says a position at a later merge if there was too much to keep, or the log of the branch lacked it', async () => {
    const { cache } = await parent();
    const a = { namespace: 'n', key: 'a', version: 1 };
    const many = Object.fromEntries(Array.from({ length: 5_500 }, (_, index) => [`k${index}`, index]));
    const ticket = async (branch: typeof cache, written: { readonly version: number }) => {
      const { position } = await cache.merge(branch);
      const basis = [{ namespace: 'many', key: 'k5499', version: written.version }];
      await branch.set('ticket', position, 'plans', { basis });
      await cache.merge(branch);
      return { position, basis: (await logOf(cache)).at(-1)?.basis };
    };
    const branch = await cache.fork();
    const written = await branch.setMany(many, 'many', { basis: [a] });
    await cache.setMany(many, 'many');
    const { position, basis } = await ticket(branch, written);
    expect(basis).toEqual([{ namespace: 'many', key: 'k5499', version: 5_500 }, { position }]);
    const short = await cache.fork({ log: { capacityUpdates: 2 } });
    const late = await short.set('k5499', 'late', 'many', { basis: [a] });
    for (let count = 0; count < 10; count += 1) await short.set('junk', count, 'm');
    await cache.set('k5499', 'late', 'many');
    const lacking = await ticket(short, late);
    expect(lacking.basis).toEqual([
      { namespace: 'many', key: 'k5499', version: 5_501 },
      { position: lacking.position },
    ]);
  });

  it('says a position for what it cannot name', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    const fork = cache.position;
    const a = { namespace: 'n', key: 'a', version: 1 };
    await branch.set('plan', 'bus', 'plans', { basis: [{ position: fork }, a] });
    await branch.set('ticket', 1, 'n', { basis: [{ position: fork + 1 }, { namespace: 'n', from: 1, to: 2 }] });
    await branch.set('late', 1, 'n', { basis: [{ namespace: 'n', prefix: 't', from: 1, to: 4 }] });
    await cache.dropNamespace('n');
    await cache.merge(branch, { onConflict: 'theirs' });
    const bases = (await logOf(cache)).slice(fork + 1).map(({ key, basis }) => [key, basis]);
    expect(bases).toEqual([
      // No version comes back after the drop.
      ['plan', [{ position: fork }, a]],
      ['ticket', [{ position: fork + 2 }, { position: fork }]],
      ['late', [{ position: fork + 3 }]],
    ]);
  });

  it('says a position for a reading that names the version of another key', async () => {
    const { cache } = await parent();
    const { position } = cache;
    const branch = await cache.fork();
    const { version } = await branch.set('other', 1, 'n', { basis: [] });
    await branch.set('plan', 1, 'plans', { basis: [{ namespace: 'n', key: 'a', version }] });
    await cache.merge(branch);
    expect((await logOf(cache)).at(-1)?.basis).toEqual([{ position }]);
  });

  it('keeps the bases of the branch that the merged one was forked from', async () => {
    const { cache } = await parent();
    const first = await cache.fork();
    const basis = [{ namespace: 'n', key: 'a', version: 1 }];
    const { version } = await first.set('plan', 'bus', 'plans', { agent: 'planner', basis });
    const second = await first.fork();
    await second.set('ticket', 1, 'm', { agent: 'booker', basis: [{ namespace: 'plans', key: 'plan', version }] });
    await cache.merge(second);
    const { writes } = await cache.impact(1);
    expect(writes.map(({ key, depth, certain }) => [key, depth, certain])).toEqual([
      ['a', 0, true],
      ['plan', 1, true],
      ['ticket', 2, true],
    ]);
  });

  it('says the position of the common state for writes that the log of the branch lacks', async () => {
    const { cache } = await parent();
    const { position } = cache;
    const branch = await cache.fork({ log: { capacityUpdates: 2 } });
    await branch.set('plan', 'bus', 'plans', { basis: [{ namespace: 'n', key: 'a', version: 1 }] });
    await branch.delete('b', 'n');
    for (let count = 0; count < 10; count += 1) await branch.set('junk', count, 'm');
    await cache.merge(branch);
    const bases = (await logOf(cache)).slice(position).map(({ key, basis }) => [key, basis]);
    expect(new Map(bases as [string, unknown][])).toEqual(
      new Map<string, unknown>([
        ['plan', [{ position }]],
        ['b', [{ position }]],
        ['junk', undefined],
      ]),
    );
  });

  it('reads the state at the fork only if it needs it, and releases it', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    await branch.set('plan', 1, 'plans', { basis: [] });
    await cache.merge(branch);
    const { past } = branch[INTERNALS];
    const at = vi.spyOn(past, 'at');
    await branch.set('plan', 2, 'plans');
    await cache.merge(branch);
    await branch.set('plan', 3, 'plans', { basis: [{ namespace: 'n', key: 'b', version: 2 }] });
    await cache.merge(branch);
    expect(at).not.toHaveBeenCalled();
    // The target has an entry of its own, so the version may be that of the fork.
    await cache.set('b', 'changed since', 'n');
    await branch.set('plan', 4, 'plans', { basis: [] });
    await cache.merge(branch);
    const view = past.at(branch.position);
    const release = vi.fn();
    at.mockReset().mockReturnValue(Object.assign(view, { release }));
    const basis = [{ namespace: 'n', key: 'b', version: 2 }];
    await branch.set('plan', 5, 'plans', { basis });
    await cache.merge(branch);
    expect([at.mock.calls.length, release.mock.calls.length]).toEqual([1, 1]);
    at.mockImplementation(() => {
      throw new ContextCacheError('LOG_UNAVAILABLE', 'The disk is away.');
    });
    await branch.set('plan', 6, 'plans', { basis });
    await expect(cache.merge(branch)).rejects.toThrow('The disk is away.');
  });
});

describe('the time of a merge with bases', () => {
  const COUNT = 4_000;
  const entries = (of: (index: number) => unknown) =>
    Object.fromEntries(Array.from({ length: COUNT }, (_, index) => [`k${index}`, of(index)]));

  /** Resolves with the processor time of a merge of a branch, in milliseconds. */
  async function timeOf(prepare: (isBased: boolean) => ReturnType<typeof prepared>, isBased: boolean): Promise<number> {
    const { cache, branch } = await prepare(isBased);
    const before = process.cpuUsage();
    await cache.merge(branch, { onConflict: 'theirs' });
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  }

  async function prepared() {
    const { cache } = makeCache();
    await cache.setMany(entries((index) => index) as never, 'n', { agent: 'x' });
    return { cache, branch: await cache.fork() };
  }

  async function conflicts(isBased: boolean) {
    const { cache, branch } = await prepared();
    for (let index = 0; index < COUNT; index += 1) {
      await branch.set(`k${index}`, `${index} here`, 'n', { agent: 'y', ...(isBased && { basis: [] }) });
    }
    await cache.setMany(entries((index) => `${index} there`) as never, 'n', { agent: 'x' });
    return { cache, branch };
  }

  async function readings(isBased: boolean) {
    const { cache, branch } = await prepared();
    const set = (key: string, namespace: string, basis: Basis) =>
      branch.set(key, 1, namespace, { agent: 'y', ...(isBased && { basis }) });
    let version = 0;
    for (let index = 0; index < COUNT; index += 1) ({ version } = await set(`new-${index}`, 'n', []));
    await set('first', 'm', [{ namespace: 'n', key: `new-${COUNT - 1}`, version }]);
    for (let index = 0; index < COUNT; index += 1) await set(`k${index}`, 'm', [{ namespace: 'n', from: 1, to: 1 }]);
    return { cache, branch };
  }

  it.each([
    { of: 'conflicts', prepare: conflicts },
    { of: 'readings of a namespace that it writes', prepare: readings },
  ])(
    'is that of a merge without bases, times a small factor, for many $of',
    async ({ prepare }) => {
      const [based, unbased] = [await timeOf(prepare, true), await timeOf(prepare, false)];
      expect(based).toBeLessThan(10 * unbased + 300);
    },
    120_000,
  );

  it('is bounded for a write that names many overwritten writes with many readings', async () => {
    const { cache } = makeCache();
    const branch = await cache.fork();
    const many = (of: (index: number) => Reading) => Array.from({ length: 256 }, (_, index) => of(index));
    for (let index = 0; index < 256; index += 1) {
      const basis = many((each) => ({ namespace: `n-${each % 8}`, key: `${index}-${each}`, version: 0 }));
      await branch.set(`w${index}`, 1, 'm', { basis });
    }
    for (let index = 0; index < 256; index += 1) await branch.set(`w${index}`, 2, 'm', { basis: [] });
    const basis = many((index) => ({ namespace: 'm', key: `w${index}`, version: index + 1 }));
    for (let index = 0; index < 20; index += 1) await branch.set(`r${index}`, 1, 'q', { basis });
    const stringify = vi.spyOn(JSON, 'stringify');
    const add = vi.spyOn(Set.prototype, 'add');
    await cache.merge(branch);
    const calls = stringify.mock.calls.length + add.mock.calls.length;
    vi.restoreAllMocks();
    // The branch has 70,000 readings; each of the last 20 writes stands for 65,536.
    expect(calls).toBeLessThan(400_000);
    const last = (await logOf(cache)).at(-1);
    expect([last?.key, last?.basis]).toEqual(['r19', [{ position: (last?.position ?? 0) - 1 }]]);
  });
});
