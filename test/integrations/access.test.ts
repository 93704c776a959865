import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as aiSdk from '../../src/ai-sdk.ts';
import { AgentContextCache, type ContextStore, joinNamespace } from '../../src/index.ts';
import * as keyv from '../../src/keyv.ts';
import * as langchain from '../../src/langchain.ts';
import * as langgraph from '../../src/langgraph.ts';
import * as openai from '../../src/openai-agents.ts';
import * as unstorage from '../../src/unstorage.ts';
import { functionsOf, guardedCache, HIDDEN, observe, STRANGER, STRANGER_TOKEN, tryAll } from '../support/access.ts';
import { MCP } from '../support/access-tries.ts';
import { all } from '../support/all.ts';
import { waitFor } from '../support/cli.ts';
import { ADAPTERS, generated, MINE, type Middleware, streamed } from './access-adapters.ts';

/**
 * Every method of every adapter is tried by an agent that has no right to what it asks for. Adapters and methods come from the
 * modules and prototypes themselves, those that a framework's class adds included: a new one fails here until it is listed.
 */

let world: Awaited<ReturnType<typeof guardedCache>>;
let position = 0;
beforeAll(async () => {
  world = await guardedCache({ further: [joinNamespace(['langgraph', 'store', ...MINE])] });
  for (const { over, fill } of Object.values(ADAPTERS)) await fill(over(world.cache));
  await world.cache.flush();
  position = world.cache.position;
});
afterAll(async () => {
  const written = await all(world.cache.readLog({ from: position + 1 }));
  expect(written).toEqual([]);
  expect(world.errors).toEqual([]);
  await world[Symbol.asyncDispose]();
});

test('every adapter is listed', () => {
  const exported = [keyv, unstorage, langgraph, openai, langchain, aiSdk].flatMap((module) => Object.keys(module));
  expect(Object.keys(ADAPTERS).sort()).toEqual(exported.sort());
});

const caches: Record<string, () => ContextStore> = {
  'a handle': () => world.cache.as({ agent: STRANGER }),
  'the cache of its token': () => world.cache.forAgent(STRANGER),
  'a handle of a client': () => world.owner.as({ agent: STRANGER }),
  'a client with its token': () => world.remote,
};

describe.each(Object.entries(ADAPTERS))('%s', (_, { over, tries, lists = {} }) => {
  test.each(Object.entries(caches))('refuses an agent without a right every method, over %s', async (__, cacheOf) => {
    const target = over(cacheOf());
    await tryAll(target, functionsOf(target), tries);
    await tryAll(target, Object.keys(lists), lists);
  });

  test.runIf(Object.keys(lists).length > 0)('would show it to the owner', async () => {
    // A branch, because a read may refresh what it finds.
    await using branch = await world.cache.fork();
    for (const [name, ways] of Object.entries(lists)) {
      for (const [, call] of ways) {
        const { shown } = await observe(() => call(over(branch)));
        expect(`${name} ${shown}`).toMatch(HIDDEN);
      }
    }
  });
});

test('an agent that may read, but not write, gets the answer of a model, and it is not kept', async () => {
  const errors: Error[] = [];
  const onError = (error: Error) => void errors.push(error);
  const grants = [{ agent: 'reader', read: [joinNamespace(['ai-sdk', 'calls'])] }];
  await using cache = new AgentContextCache({ natsUrl: null, grants, onError });
  const middleware = ADAPTERS.contextCacheMiddleware?.over(cache.as({ agent: 'reader' })) as Middleware;
  expect(await generated(middleware, 'fresh')).toMatchObject({ content: [{ text: 'fresh' }] });
  expect(await streamed(middleware, 'fresh')).toContainEqual(expect.objectContaining({ delta: 'fresh' }));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([cache.position, errors.map((error) => (error as { code?: unknown }).code)]).toEqual([
    0,
    ['ACCESS_DENIED', 'ACCESS_DENIED'],
  ]);
});

/** Ways to try the tools that handle branches; each may be used, since a branch has the grants of the cache. */
const BRANCHES = { fork: { branch: 'tried' }, merge: { branch: 'tried' }, discard: { branch: 'tried' } };

describe.each(['legacy', 'auto'] as const)('/mcp by HTTP with the token of an agent (%s)', (mode) => {
  let served: typeof world;
  let mcp: Client;
  beforeAll(async () => {
    served = await guardedCache({ mcp: { branches: true } });
    mcp = new Client({ name: 'keeper', version: '1' }, { versionNegotiation: { mode } });
    const requestInit = { headers: { authorization: `Bearer ${STRANGER_TOKEN}` } };
    await mcp.connect(new StreamableHTTPClientTransport(new URL(`${served.server.url}/mcp`), { requestInit }));
  });
  afterAll(async () => {
    await mcp.close();
    expect(served.errors).toEqual([]);
    await served[Symbol.asyncDispose]();
  });
  const called = async (name: string, args: object) => {
    const { isError = false, content } = await mcp.callTool({ name, arguments: { ...args } });
    const shown = JSON.stringify(content);
    expect(`${name} ${shown}`).not.toMatch(HIDDEN);
    return isError ? shown : 'done';
  };

  test('refuses each tool that the server lists', async () => {
    const { position } = served.cache;
    const names = (await mcp.listTools()).tools.map(({ name }) => name);
    expect(names.toSorted()).toEqual(Object.keys({ ...MCP, ...BRANCHES }).sort());
    for (const [name, [expected, args]] of Object.entries(MCP))
      expect(`${name} ${await called(name, args)}`).toContain(expected === 'denied' ? 'ACCESS_DENIED' : 'done');
    expect(await called('fork', BRANCHES.fork)).toBe('done');
    for (const [name, [expected, args]] of Object.entries(MCP)) {
      const answer = await called(name, { ...args, ...BRANCHES.fork });
      if (expected === 'denied') expect(`${name} ${answer}`).toContain('ACCESS_DENIED');
    }
    expect(await called('merge', BRANCHES.merge)).toBe('done');
    // The end of its own briefing of the branch.
    const written = await all(served.cache.readLog({ from: position + 1 }));
    expect(written.filter(({ namespace }) => namespace !== 'briefing/cursors')).toEqual([]);
  });

  test('refuses each prompt that the server lists', async () => {
    expect((await mcp.listPrompts()).prompts.map(({ name }) => name)).toEqual(['what_changed']);
    await expect(mcp.getPrompt({ name: 'what_changed', arguments: { namespace: 'vault' } })).rejects.toThrow('may not');
    const prompt = await mcp.getPrompt({ name: 'what_changed', arguments: { since: '0' } });
    expect(JSON.stringify(prompt)).not.toMatch(HIDDEN);
  });

  test('refuses each resource that the server lists, completes, and lets subscribe to', async () => {
    const { resources } = await mcp.listResources();
    expect(JSON.stringify(resources)).not.toMatch(HIDDEN);
    expect(resources.map(({ name }) => name)).toContain('open/greeting');
    const { resourceTemplates } = await mcp.listResourceTemplates();
    expect(resourceTemplates.map(({ uriTemplate }) => uriTemplate).sort()).toEqual([
      'context://{namespace}',
      'context://{namespace}/{key}',
    ]);
    for (const { uriTemplate } of resourceTemplates) {
      const uri = uriTemplate.replace('{namespace}', 'vault').replace('{key}', 'code');
      await expect(mcp.readResource({ uri })).rejects.toThrow('may not');
      const subscribing =
        mode === 'legacy' ? mcp.subscribeResource({ uri }) : mcp.listen({ resourceSubscriptions: [uri] });
      await expect(subscribing).rejects.toThrow('may not');
      const ref = { type: 'ref/resource', uri: uriTemplate } as const;
      for (const name of uriTemplate.match(/(?<={)\w+/g) ?? []) {
        const context = { arguments: { namespace: 'vault' } };
        const { outcome, shown } = await observe(() =>
          mcp.complete({ ref, argument: { name, value: '' }, context }).catch(({ message }: Error) => message),
        );
        expect([outcome, name === 'key' ? shown : '']).toEqual([
          'done',
          name === 'key' ? expect.stringContaining('may not') : '',
        ]);
        expect(shown).not.toMatch(HIDDEN);
      }
    }
  });

  test('reports no change of a key that may not be read, nor any once the right is taken away', async () => {
    const { cache } = served;
    await cache.addGrant({ agent: STRANGER, read: [{ namespace: 'partly', keys: ['mine'] }] });
    const changed: string[] = [];
    mcp.setNotificationHandler('notifications/resources/updated', ({ params }) => void changed.push(params.uri));
    const uri = 'context://partly';
    if (mode === 'legacy') await mcp.subscribeResource({ uri });
    else await mcp.listen({ resourceSubscriptions: [uri] });
    const settled = () => new Promise((resolve) => setTimeout(resolve, 150));
    await cache.set('theirs', 1, 'partly');
    await settled();
    expect(changed).toEqual([]);
    await cache.set('mine', 1, 'partly');
    await waitFor(() => expect(changed).toEqual([uri]));
    await cache.addGrant({ agent: STRANGER, read: ['open'] });
    await cache.set('mine', 2, 'partly');
    await settled();
    expect(changed).toEqual([uri]);
  });
});
