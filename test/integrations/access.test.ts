import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as aiSdk from '../../src/ai-sdk.ts';
import { AgentContextCache, type ContextStore, joinNamespace } from '../../src/index.ts';
import * as keyv from '../../src/keyv.ts';
import * as langchain from '../../src/langchain.ts';
import * as langgraph from '../../src/langgraph.ts';
import * as openai from '../../src/openai-agents.ts';
import * as unstorage from '../../src/unstorage.ts';
import { functionsOf, guardedCache, HIDDEN, observe, STRANGER, tryAll } from '../support/access.ts';
import { all } from '../support/all.ts';
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
