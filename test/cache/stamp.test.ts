import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import type { Stamp } from '../../src/types.ts';
import { makeCache } from '../support/cache.ts';
import { sendCommand } from '../support/http.ts';
import { serveThroughProxy } from '../support/served.ts';

const who = (cache: AgentContextCache, key: string) => {
  const { agent, meta } = cache.entry(key) ?? {};
  return [agent, meta];
};

describe('a context of the running code', () => {
  it('says who writes and why, in every method, command and turn', async () => {
    const context = new AsyncLocalStorage<Stamp & { readonly other: number }>();
    const { cache } = makeCache({ context });
    const deep = async (key: string) => {
      await nextTurn();
      await cache.set(`${key} set`, 1);
      await cache.ask({ type: 'context.set', key: `${key} ask`, value: 1 });
      cache.supervisor.send({ type: 'context.set', key: `${key} send`, value: 1 });
      await cache.as({ meta: { inner: true } }).set(`${key} as`, 1);
    };
    await Promise.all(
      ['one', 'two'].map((agent) => context.run({ agent, meta: { task: agent }, other: 1 }, () => deep(agent))),
    );
    await deep('none');
    for (const agent of ['one', 'two']) {
      for (const how of ['set', 'ask', 'send']) expect(who(cache, `${agent} ${how}`)).toEqual([agent, { task: agent }]);
      expect(who(cache, `${agent} as`)).toEqual([agent, { task: agent, inner: true }]);
    }
    expect(who(cache, 'none set')).toEqual([null, undefined]);
    expect(who(cache, 'none as')).toEqual([null, { inner: true }]);
    const branch = await cache.fork();
    await context.run({ agent: 'brancher', other: 1 }, () => branch.set('k', 1));
    expect(branch.entry('k')?.agent).toBe('brancher');
    await branch.shutdown();
  });

  it('of a client counts too, but the token of an agent comes first', async () => {
    const context = new AsyncLocalStorage<Stamp>();
    await using served = await serveThroughProxy({ client: { context } });
    await context.run({ agent: 'planner', meta: { task: 't-7' } }, async () => {
      await served.remote.set('set', 1);
      await served.remote.ask({ type: 'context.set', key: 'ask', value: 1 });
    });
    for (const key of ['set', 'ask']) expect(who(served.cache, key)).toEqual(['planner', { task: 't-7' }]);
    await using cache = new AgentContextCache({ natsUrl: null });
    await using server = await startServer(cache, { agentTokens: { booker: 'booker-booker-booker' } });
    await using booker = await connect(server.url, { token: 'booker-booker-booker', context });
    await context.run({ agent: 'planner', meta: { task: 't-7' } }, () => booker.as({ agent: 'x' }).set('k', 1));
    expect(who(cache, 'k')).toEqual(['booker', { task: 't-7' }]);
  });

  it('in which a server was started is not that of its clients', async () => {
    const context = new AsyncLocalStorage<Stamp>();
    await using cache = new AgentContextCache({ natsUrl: null, context });
    await using server = await context.run({ agent: 'starter' }, () => startServer(cache));
    await using remote = await connect(server.url, { token: server.token });
    await remote.set('set', 1);
    await remote.update('update', () => 1);
    const command = { type: 'context.set', key: 'http', value: 1 };
    expect(await sendCommand({ port: server.port, token: server.token }, command)).toMatchObject({ status: 200 });
    for (const key of ['set', 'update', 'http']) expect(who(cache, key)).toEqual([null, undefined]);
  });

  it('that has no getStore is refused', () => {
    expect(() => makeCache({ context: {} as never })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('with a wrong agent or meta refuses the write', async () => {
    const { cache } = makeCache({ context: { getStore: () => ({ agent: '' }) } });
    await expect(cache.set('k', 1)).rejects.toMatchObject({ code: 'INVALID_COMMAND' });
  });
});
