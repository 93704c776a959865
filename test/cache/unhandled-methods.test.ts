import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { LateCache } from '../support/cache.ts';

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);
beforeAll(() => {
  process.on('unhandledRejection', note);
});
afterAll(() => {
  process.off('unhandledRejection', note);
});
afterEach(() => {
  expect(unhandled.splice(0)).toEqual([]);
});

const options = { no: 'option' };
/** Arguments that no method takes, each in every place. */
const BAD: readonly unknown[][] = [
  [],
  [options, options, options, options],
  [-1, -1, options],
  ['\ud800', '\ud800', '\ud800', options],
  [['\ud800'], '\ud800', options],
  [undefined, undefined, undefined, options],
  [null, null, null],
  [() => Promise.reject(new Error('no answer')), options],
];

/** Names of all methods of an object, of its class and those that it extends. */
function methodsOf(object: object): string[] {
  const names = new Set<string>();
  for (let each = object; each !== Object.prototype; each = Object.getPrototypeOf(each)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(each)))
      if (typeof value === 'function' && name !== 'constructor') names.add(name);
  }
  return [...names];
}

/** Calls every method with every arguments, awaits nothing, and returns how many calls gave a promise. */
async function callAll(object: object, left: readonly string[] = []): Promise<number> {
  let promises = 0;
  for (const name of methodsOf(object).filter((each) => !left.includes(each))) {
    for (const given of BAD) {
      try {
        const method = (object as Record<string, (...all: unknown[]) => unknown>)[name];
        if (method?.apply(object, given) instanceof Promise) promises += 1;
      } catch {
        // A synchronous method may throw.
      }
    }
    await nextTurn();
  }
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
  return promises;
}

test('no method of a cache in memory ends the process by a rejection that no caller handles', async () => {
  const errors: Error[] = [];
  const cache = new AgentContextCache({ onError: (error) => errors.push(error) });
  expect(await callAll(cache, ['shutdown'])).toBeGreaterThan(80);
  expect(errors.length).toBeGreaterThan(40);
  expect(await callAll(cache.namespace('n'))).toBeGreaterThan(30);
  expect(await callAll(cache.as({ agent: 'x' }))).toBeGreaterThan(30);
  void cache.shutdown(options as never);
  await nextTurn();
  await cache.shutdown();
  await callAll(cache);
});

test('no method of a cache over an asynchronous primary does', async () => {
  const cache = new AgentContextCache({ primaryCache: new LateCache(), onError: () => {} });
  expect(await callAll(cache, ['shutdown'])).toBeGreaterThan(100);
  expect(await callAll(cache.namespace('n'))).toBeGreaterThan(50);
  await cache.shutdown();
});

test('no method of a client, of its views and handles does', async () => {
  const cache = new AgentContextCache({ onError: () => {} });
  await using server = await startServer(cache, { port: 0 });
  const client = await connect(server.url, { token: server.token, onError: () => {} });
  const view = await client.at(0);
  expect(await callAll(client, ['shutdown'])).toBeGreaterThan(100);
  expect(await callAll(client.namespace('n'))).toBeGreaterThan(50);
  expect(await callAll(view)).toBeGreaterThan(20);
  void client.shutdown(options as never);
  await nextTurn();
  await client.shutdown();
  await callAll(client);
  await cache.shutdown();
});
