import { describe, expect, it } from 'vitest';
import { logOf } from '../support/cache.ts';
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

  it('says a position for what it cannot name', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    const fork = cache.position;
    await branch.set('plan', 'bus', 'plans', { basis: [{ position: fork }, { namespace: 'n', key: 'a', version: 1 }] });
    await branch.set('ticket', 1, 'n', { basis: [{ position: fork + 1 }, { namespace: 'n', from: 1, to: 2 }] });
    await branch.set('late', 1, 'n', { basis: [{ namespace: 'n', prefix: 't', from: 1, to: 4 }] });
    await cache.dropNamespace('n');
    await cache.merge(branch, { onConflict: 'theirs' });
    const bases = (await logOf(cache)).slice(fork + 1).map(({ key, basis }) => [key, basis]);
    expect(bases).toEqual([
      ['plan', [{ position: fork }]],
      ['ticket', [{ position: fork + 2 }, { position: fork }]],
      ['late', [{ position: fork + 3 }]],
    ]);
  });
});
