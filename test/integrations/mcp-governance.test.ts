import { describe, expect, test } from 'vitest';
import type { ContextStore } from '../../src/index.ts';
import { BRANCH_TOOLS } from '../../src/integrations/mcp-branches.ts';
import type { Arguments } from '../../src/integrations/mcp-tools.ts';
import { call, client, memory, remote } from './mcp-client.ts';

describe.each([
  ['a local cache', async () => ({ store: memory() as ContextStore })],
  ['a remote cache', remote],
])('the tool retract over %s', (_, open) => {
  test('takes a write back under the name of the client, and shows readers what depends on it', async () => {
    const { store } = await open();
    const mcp = await client(store, {}, 'claude-ai');
    await store.set('station', 'open', 'trip', { agent: 'scout' });
    const { position, version } = await store.set('station', 'closed', 'trip', { agent: 'scout' });
    const basis = [{ namespace: 'trip', key: 'station', version }];
    await store.set('plan', 'take the bus', 'trip', { agent: 'planner', basis });
    const given = { position, reason: 'misread sign', cascade: 'mark' };
    const report = {
      ...{ retracted: position, position: 5, changed: true, supported: [], conflicts: [], omitted: 0 },
      restored: [{ namespace: 'trip', key: 'station', removed: false }],
      marked: [{ namespace: 'trip', key: 'plan' }],
    };
    const rehearsed = await call(mcp, 'retract', { ...given, dryRun: true });
    expect(rehearsed).toMatchObject({ restored: report.restored, marked: report.marked });
    expect(await store.get('station', 'trip')).toBe('closed');
    expect(await call(mcp, 'retract', { ...given, operationId: 'once' })).toEqual(report);
    expect(await call(mcp, 'retract', { ...given, operationId: 'once' })).toEqual(report);
    const retraction = { position, reason: 'misread sign' };
    const stale = { because: position, reason: 'misread sign' };
    expect(await store.entry('station', 'trip')).toMatchObject({ value: 'open', agent: 'claude-ai', retraction });
    expect(await call(mcp, 'get', { key: 'station', namespace: 'trip' })).toMatchObject({ value: 'open', retraction });
    expect(await call(mcp, 'get', { key: 'plan', namespace: 'trip' })).toMatchObject({ stale });
    const list = { namespace: 'trip', values: true, prefix: 'plan' };
    expect(await call(mcp, 'list', list)).toMatchObject({ entries: [{ key: 'plan', stale }] });
    expect(await call(mcp, 'changes', { since: 3 })).toMatchObject({
      changes: [
        { key: 'plan', stale },
        { key: 'station', retraction },
      ],
    });
    const { versions } = await call(mcp, 'history', { key: 'plan', namespace: 'trip' });
    expect(versions).toMatchObject([{ stale }, { operation: 'set' }]);
    await call(mcp, 'retract', { position: 5 });
    expect(await store.get('station', 'trip')).toBe('closed');
    expect(await call(mcp, 'get', { key: 'plan', namespace: 'trip' })).not.toHaveProperty('stale');
  });

  test('refuses to take back what the cache does not, and leaves out what a result has no room for', async () => {
    const { store } = await open();
    const mcp = await client(store, { maxBytes: 1_024 });
    await store.set('fact', 1, 'trip');
    const cases: readonly (readonly [object, RegExp])[] = [
      [{}, /position/],
      [{ position: 0 }, /position|minimum|>=/],
      [{ position: 9 }, /POSITION_UNAVAILABLE.*1 to 1/],
      [{ position: 1, reason: '\ud800' }, /INVALID_(COMMAND|VALUE).*reason/i],
      [{ position: 1, cascade: 'all' }, /cascade|allowed|equal/],
      [{ position: 1, agent: 'other' }, /additional/],
    ];
    for (const [args, message] of cases) await expect(call(mcp, 'retract', args)).rejects.toThrow(message);
    expect(await store.get('fact', 'trip')).toBe(1);
    const keys = Array.from({ length: 100 }, (_, n) => `key/${n}`);
    await store.setMany(Object.fromEntries(keys.map((key) => [key, 1])), 'many');
    const { position } = await store.clearNamespace('many', { prefix: 'key/' });
    await store.set('key/7', 'again', 'many', { agent: 'other' });
    const report = await call(mcp, 'retract', { position });
    expect(report).toMatchObject({ conflicts: [{ key: 'key/7', agent: 'other', at: expect.stringMatching(/Z$/) }] });
    expect(JSON.stringify(report).length).toBeLessThan(1_400);
    expect((report.restored as object[]).length + (report.omitted as number)).toBe(99);
    expect(await store.listKeys('many')).toHaveLength(100);
  });
});

describe('branches', () => {
  test('are forked, used by every tool, and merged or discarded', async () => {
    const cache = memory();
    await cache.set('plan', { by: 'plane' }, 'trip');
    const mcp = await client(cache, { branches: true });
    expect((await mcp.listTools()).tools.map(({ name }) => name).slice(-3)).toEqual(['fork', 'merge', 'discard']);
    expect(await call(mcp, 'fork', { branch: 'thrifty' })).toEqual({ branch: 'thrifty', position: 1 });
    await expect(call(mcp, 'fork', { branch: 'thrifty' })).rejects.toThrow('INVALID_OPTION');
    await call(mcp, 'update', { key: 'plan', patch: { by: 'train' }, namespace: 'trip', branch: 'thrifty' });
    expect(await call(mcp, 'get', { key: 'plan', namespace: 'trip' })).toMatchObject({ value: { by: 'plane' } });
    // Another client sees the branch.
    const other = await client(cache, { branches: true }, 'other');
    const theirs = { key: 'plan', namespace: 'trip', branch: 'thrifty' };
    expect(await call(other, 'get', theirs)).toMatchObject({ value: { by: 'train' }, agent: 'planner' });
    await cache.set('plan', { by: 'boat' }, 'trip');
    await expect(call(mcp, 'merge', { branch: 'thrifty' })).rejects.toThrow(/MERGE_CONFLICT.*trip\/plan/);
    const merged = await call(mcp, 'merge', { branch: 'thrifty', onConflict: 'theirs' });
    expect(merged).toMatchObject({ updates: 1, namespaces: ['trip'], conflicts: [{ namespace: 'trip', key: 'plan' }] });
    expect(cache.get('plan', 'trip')).toEqual({ by: 'train' });
    await expect(call(mcp, 'get', theirs)).rejects.toThrow('NOT_FOUND');
    await call(mcp, 'fork', { branch: 'past', at: 1 });
    expect(await call(mcp, 'get', { ...theirs, branch: 'past' })).toMatchObject({ value: { by: 'plane' } });
    expect(await call(mcp, 'discard', { branch: 'past' })).toEqual({ branch: 'past' });
    expect(cache.get('plan', 'trip')).toEqual({ by: 'train' });
  });

  test('are merged and discarded by their creator, or with the right to everything', async () => {
    const cache = memory();
    await cache.set('plan', 'plane', 'trip');
    const [mine, other] = [await client(cache, { branches: true }), await client(cache, { branches: true }, 'other')];
    await call(mine, 'fork', { branch: 'thrifty' });
    await call(mine, 'set', { key: 'plan', value: 'train', namespace: 'trip', branch: 'thrifty' });
    const refused = /FORBIDDEN.*thrifty.*planner.*other/;
    const refuses = async (...tools: readonly string[]) => {
      for (const tool of tools) await expect(call(other, tool, { branch: 'thrifty' })).rejects.toThrow(refused);
      const theirs = { key: 'plan', namespace: 'trip', branch: 'thrifty' };
      expect(await call(mine, 'get', theirs)).toMatchObject({ value: 'train' });
      expect(cache.get('plan', 'trip')).toBe('plane');
    };
    await refuses('merge');
    const trip = { read: ['trip'], write: ['trip'] };
    await cache.setGrants([
      { agent: 'planner', ...trip },
      { agent: 'other', ...trip },
    ]);
    await refuses('merge', 'discard');
    await cache.addGrant({ agent: 'other', admin: true });
    await call(other, 'merge', { branch: 'thrifty' });
    expect(cache.get('plan', 'trip')).toBe('train');
    // A new session of the same agent.
    await call(mine, 'fork', { branch: 'again' });
    expect(await call(await client(cache, { branches: true }), 'discard', { branch: 'again' })).toEqual({
      branch: 'again',
    });
    await call(mine, 'fork', { branch: 'again' });
    expect(await call(other, 'discard', { branch: 'again' })).toEqual({ branch: 'again' });
  });

  test('of an agent that is gone are discarded by any other, unless there are grants', async () => {
    const cache = memory();
    const [gone, other] = [
      await client(cache, { branches: true }, 'gone'),
      await client(cache, { branches: true }, 'other'),
    ];
    for (let n = 0; n < 16; n += 1) await call(gone, 'fork', { branch: `b${n}` });
    await gone.close();
    await expect(call(other, 'fork', { branch: 'mine' })).rejects.toThrow(/OVERLOADED.*b15.*Discard one/);
    await expect(call(other, 'merge', { branch: 'b0' })).rejects.toThrow(/FORBIDDEN.*or discard it/);
    await call(other, 'discard', { branch: 'b0' });
    await call(other, 'fork', { branch: 'mine' });
    await cache.setGrants([{ agent: 'other', read: ['trip'] }]);
    await expect(call(other, 'discard', { branch: 'b1' })).rejects.toThrow(/FORBIDDEN.*admin: true/);
  });

  test('are at most four of each agent if there are grants, and sixteen together', async () => {
    const cache = memory();
    await cache.setGrants([{ agent: '*', read: ['trip'] }]);
    const agents = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => client(cache, { branches: true }, name)));
    for (const [at, agent] of agents.slice(0, 4).entries()) {
      const forks = [0, 1, 2, 3, 4].map((n) => call(agent, 'fork', { branch: `${at}/${n}` }));
      const refused = (await Promise.allSettled(forks)).filter(({ status }) => status === 'rejected');
      expect(refused).toMatchObject([
        { reason: { message: expect.stringMatching(/OVERLOADED.*has 4 .*\/0,.*Merge or/) } },
      ]);
    }
    const last = agents[4] as (typeof agents)[number];
    await expect(call(last, 'fork', { branch: 'x' })).rejects.toThrow(/OVERLOADED.*16.*admin: true/);
    await cache.addGrant({ agent: 'e', admin: true });
    await call(last, 'discard', { branch: '0/0' });
    await call(last, 'fork', { branch: 'x' });
  });

  test('that end while they are merged leave a later one of the same name', async () => {
    let finish = (_: unknown) => {};
    const merging = new Promise((resolve) => {
      finish = resolve;
    });
    const ended: number[] = [];
    let forks = 0;
    const cache = {
      fork: async () => {
        forks += 1;
        const id = forks;
        return { position: 1, shutdown: async () => void ended.push(id) };
      },
      merge: () => merging,
    } as unknown as ContextStore;
    const asked = { cache, args: { branch: 'b' } as Arguments, agent: undefined, maxBytes: 1_024 };
    await BRANCH_TOOLS.fork.run(asked);
    const merged = BRANCH_TOOLS.merge.run(asked);
    await BRANCH_TOOLS.discard.run(asked);
    await BRANCH_TOOLS.fork.run(asked);
    finish({ updates: 0, namespaces: [], position: 1, conflicts: [] });
    await merged;
    expect(ended).toEqual([1, 1]);
    await BRANCH_TOOLS.discard.run(asked);
    expect(ended).toEqual([1, 1, 2]);
  });

  test('are no argument of a tool unless they are switched on', async () => {
    const mcp = await client(memory());
    await expect(call(mcp, 'get', { key: 'plan', branch: 'b' })).rejects.toThrow(/additional/);
  });
});
