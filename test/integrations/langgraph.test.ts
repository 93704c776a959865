import { Annotation, StateGraph } from '@langchain/langgraph';
import {
  InMemoryStore,
  InvalidNamespaceError,
  type Operation,
  type PutOperation,
} from '@langchain/langgraph-checkpoint';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AgentContextCache, ContextCacheError, compareNames, joinNamespace } from '../../src/index.ts';
import { ContextCacheSaver, ContextCacheStore } from '../../src/langgraph.ts';
import { BOTH_CACHES } from '../support/both-caches.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { fcOptions } from '../support/property.ts';

/** Half of an emoji. */
const HALF = '😀'.slice(0, 1);

describe.each(BOTH_CACHES)('ContextCacheSaver over a %s cache', (_, open) => {
  test('keeps half an emoji, __proto__, bytes and a Map through a real graph', async () => {
    await using reached = await open();
    const odd = {
      ...{ text: `a${HALF}`, bytes: new Uint8Array([1, 2]), map: new Map([['a', JSON.parse('{"__proto__":1}')]]) },
      ...{ [HALF]: 1, list: [JSON.parse('{"text":"\\"__proto__\\":","__proto__":{"deep":[{"__proto__":2}]}}')] },
    };
    const State = Annotation.Root({ odd: Annotation<unknown>(), runs: Annotation<number>() });
    const graph = new StateGraph(State)
      .addNode('work', ({ odd: given, runs = 0 }) => ({ odd: given ?? odd, runs: runs + 1 }))
      .addEdge('__start__', 'work')
      .compile({ checkpointer: new ContextCacheSaver(reached.store) });
    const config = { configurable: { thread_id: 'ann' } };
    await graph.invoke({}, config);
    // The second run has what the first one stored.
    const { odd: kept, runs } = await graph.invoke({}, config);
    expect(runs).toBe(2);
    const names = (value: unknown) => JSON.stringify(value, (__, each) => (each instanceof Map ? [...each] : each));
    expect(names(kept)).toBe(names(odd));
    expect((kept as typeof odd).bytes).toEqual(odd.bytes);
    expect(Object.getPrototypeOf((kept as typeof odd).list[0])).toBe(Object.prototype);
  });

  test('keeps the value of each branch of a thread, which have the same versions of their channels', async () => {
    await using reached = await open();
    const graph = new StateGraph(Annotation.Root({ name: Annotation<string>(), note: Annotation<string>() }))
      .addNode('first', () => ({ note: 'first' }))
      .addNode('second', ({ name }) => ({ note: `second ${name}` }))
      .addEdge('__start__', 'first')
      .addEdge('first', 'second')
      .compile({ checkpointer: new ContextCacheSaver(reached.store) });
    const thread = { configurable: { thread_id: 'ann' } };
    await graph.invoke({ name: 'main' }, thread);
    const states = [];
    for await (const state of graph.getStateHistory(thread)) states.push(state);
    const before = states.find(({ next }) => next[0] === 'second');
    if (before === undefined) throw new Error('no checkpoint before "second"');
    // Two branches from one checkpoint: each writes another value of the same version.
    const ends = [];
    for (const name of ['one', 'two']) {
      const branch = await graph.updateState(before.config, { name }, 'first');
      await graph.invoke(null, branch);
      ends.push((await graph.getState(thread)).config);
    }
    const values = await Promise.all(ends.map(async (config) => (await graph.getState(config)).values));
    expect(values).toEqual([
      { name: 'one', note: 'second one' },
      { name: 'two', note: 'second two' },
    ]);
    expect((await graph.getState(states[0]?.config ?? thread)).values).toEqual({ name: 'main', note: 'second main' });
  });

  test('stores JSON that a reader of the cache understands', async () => {
    await using reached = await open();
    const saver = new ContextCacheSaver(reached.store, { namespace: ['app'] });
    const checkpoint = { v: 4, id: 'id-1', ts: '', channel_values: { a: 1 }, channel_versions: {}, versions_seen: {} };
    await saver.put({ configurable: { thread_id: 'ann' } }, checkpoint, { source: 'loop', step: 0, parents: {} }, {});
    expect(await reached.store.get('checkpoint//id-1/', ['app', 'ann'])).toEqual({
      checkpoint: { json: checkpoint },
      metadata: { json: { source: 'loop', step: 0, parents: {} } },
    });
  });

  test('refuses a config without a thread and a wrong option with an error that says what to pass', async () => {
    await using reached = await open();
    const saver = new ContextCacheSaver(reached.store);
    await expect(saver.putWrites({ configurable: { thread_id: 'a' } }, [['a', 1]], 'task')).rejects.toThrow(
      "To put writes, pass a config with configurable.checkpoint_id: { configurable: { checkpoint_id: '…' } }.",
    );
    await expect(saver.getTuple({ configurable: { thread_id: 7 } })).rejects.toThrow('thread_id must be a string');
    expect(() => new ContextCacheSaver(reached.store, { namespaces: [] } as object)).toThrow('Did you mean namespace?');
    expect(() => new ContextCacheSaver({} as never)).toThrow(ContextCacheError);
  });
});

/** Few labels, keys and values, so that they meet. */
const label = fc.constantFrom('a', 'b', 'c', 'ab', 'x/y', '%', 'A', 'é');
const namespace = fc.array(label, { minLength: 1, maxLength: 3 });
const key = fc.constantFrom('k', 'l', '', '__proto__', `k/${'😀'}`);
const field = fc.oneof(fc.constantFrom(1, 2, 10, 'x', 'y', null, true), fc.constant(HALF));
const value = fc.record({ a: field, b: field, list: fc.array(field, { maxLength: 2 }) }, { requiredKeys: [] });
const comparison = fc.dictionary(fc.constantFrom('$eq', '$ne', '$gt', '$gte', '$lt', '$lte'), field, { maxKeys: 2 });
const condition = fc.oneof(
  field,
  comparison,
  fc.record({ $in: fc.array(field) }),
  fc.record({ $nin: fc.array(field) }),
);
const filter = fc.dictionary(fc.constantFrom('a', 'b', 'missing'), condition, { maxKeys: 2, noNullPrototype: true });
const path = fc.array(fc.oneof(label, fc.constant('*')), { minLength: 1, maxLength: 3 });
const match = fc.record({ matchType: fc.constantFrom('prefix' as const, 'suffix' as const), path });
const page = { limit: fc.integer({ min: 0, max: 6 }), offset: fc.integer({ min: 0, max: 4 }) };

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ namespace, key, value: fc.option(value, { freq: 4 }) }) },
  fc.record({ namespace, key }),
  fc.record(
    { namespacePrefix: fc.array(label, { maxLength: 2 }), filter, ...page },
    { requiredKeys: ['namespacePrefix', 'limit', 'offset'] },
  ),
  fc.record(
    { matchConditions: fc.array(match, { maxLength: 2 }), maxDepth: fc.integer({ min: 1, max: 3 }), ...page },
    { requiredKeys: ['matchConditions', 'limit', 'offset'] },
  ),
) as fc.Arbitrary<Operation>;

/** Returns what an item says without its instants. */
function plain(result: unknown): unknown {
  if (Array.isArray(result)) return result.map(plain);
  if (result === null || typeof result !== 'object') return result;
  const { createdAt: _, updatedAt: __, score: ___, ...rest } = result as Record<string, unknown>;
  return rest;
}

/** Compares items, or namespaces, as the cache orders them. */
function inOrder(a: unknown, b: unknown): number {
  if (Array.isArray(a)) return compareNames(joinNamespace(a), joinNamespace(b as string[]));
  const [one, other] = [a, b] as { namespace: string[]; key: string }[];
  return inOrder(one?.namespace, other?.namespace) || compareNames(one?.key ?? '', other?.key ?? '');
}

/** InMemoryStore, with pages of the order that the cache has. It lists no namespace in which something missing was deleted. */
class Model {
  readonly #store = new InMemoryStore();
  readonly #held = new Set<string>();

  async batch(operations: readonly Operation[]): Promise<unknown[]> {
    const results = operations.map((each) => ('value' in each ? null : this.#read(each)));
    const answers = await Promise.all(results);
    const last = new Map<string, PutOperation>();
    for (const each of operations) {
      if ('value' in each) last.set(JSON.stringify([each.namespace, each.key]), each);
    }
    const puts = [...last.values()];
    for (const { namespace: parts, value: item } of puts) if (item !== null) this.#held.add(joinNamespace(parts));
    await this.#store.batch(puts.filter(({ namespace: parts }) => this.#held.has(joinNamespace(parts))));
    return answers;
  }

  async #read(operation: Operation): Promise<unknown> {
    if (!('limit' in operation)) return structuredClone((await this.#store.batch([operation]))[0]);
    const { limit = 10, offset = 0 } = operation;
    const [all] = (await this.#store.batch([{ ...operation, limit: 10_000, offset: 0 }])) as unknown[][];
    return structuredClone(all?.sort(inOrder).slice(offset, offset + limit));
  }
}

describe.each(BOTH_CACHES)('ContextCacheStore over a %s cache', (way, open) => {
  test('does what InMemoryStore does, in an order of its own', async () => {
    await using reached = await open();
    let run = 0;
    const batches = fc.array(fc.array(operation, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(batches, async (all) => {
        run += 1;
        const store = new ContextCacheStore(reached.store, { namespace: ['test', String(run)] });
        const model = new Model();
        for (const batch of all) expect(plain(await store.batch(batch))).toEqual(plain(await model.batch(batch)));
      }),
      fcOptions(way === 'local' ? 1_000 : 50),
    );
  });

  test('searches by prefix and filter, and lists namespaces', async () => {
    await using reached = await open();
    const store = new ContextCacheStore(reached.store);
    await store.put(['users', 'ann'], 'food', { likes: 'pancakes', stars: 5 });
    await store.put(['users', 'bob'], 'food', { likes: 'soup', stars: 3 });
    await store.put(['usersx'], 'food', { likes: 'pancakes', stars: 1 });
    const found = await store.search(['users'], { filter: { stars: { $gte: 4 } } });
    expect(found.map(({ namespace: parts, key: name, value: item }) => [parts, name, item])).toEqual([
      [['users', 'ann'], 'food', { likes: 'pancakes', stars: 5 }],
    ]);
    expect(await store.listNamespaces({ prefix: ['users'] })).toEqual([
      ['users', 'ann'],
      ['users', 'bob'],
    ]);
    expect(await store.listNamespaces({ maxDepth: 1 })).toEqual([['users'], ['usersx']]);
    expect(await reached.store.get('food', ['langgraph', 'store', 'users', 'ann'])).toEqual({
      likes: 'pancakes',
      stars: 5,
    });
  });

  test('writes the puts of a batch all or none, also in several namespaces', async () => {
    await using reached = await open();
    const store = new ContextCacheStore(reached.store);
    const good = { namespace: ['a'], key: 'k', value: { a: 1 } };
    await expect(store.batch([good, { namespace: ['b'], key: 'k', value: { at: new Date() } }])).rejects.toThrow(
      '$.at',
    );
    expect(await store.get(['a'], 'k')).toBeNull();
    await store.batch([good, { ...good, namespace: ['b'] }]);
    expect(await store.get(['b'], 'k')).toMatchObject({ value: { a: 1 }, namespace: ['b'] });
  });

  test('lets a caller change what it has read', async () => {
    await using reached = await open();
    const store = new ContextCacheStore(reached.store);
    await store.put(['a'], 'k', { list: [1] });
    const item = await store.get(['a'], 'k');
    item?.value.list.push(2);
    expect((await store.get(['a'], 'k'))?.value).toEqual({ list: [1] });
  });

  test("refuses bad names with the framework's error, and a search by meaning", async () => {
    await using reached = await open();
    const store = new ContextCacheStore(reached.store);
    const error = await store.put([HALF], 'k', {}).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidNamespaceError);
    expect((error as Error).cause).toMatchObject({ code: 'INVALID_NAME' });
    await expect(store.put(['a.b'], 'k', {})).rejects.toThrow(InvalidNamespaceError);
    await expect(store.search(['a'], { query: 'pancakes' })).rejects.toThrow('no search by meaning');
    expect(() => new ContextCacheStore(reached.store, { ttl: { defaultTtl: 0 } })).toThrow('minutes above 0');
    expect(() => new ContextCacheStore(reached.store, { ttl: { defaultTTL: 1 } as never })).toThrow('defaultTtl');
  });

  test('expires items after minutes, and later if they are read', async () => {
    const clock = new ManualClock();
    await using reached = await open({ clock });
    const kept = new ContextCacheStore(reached.store, { ttl: { defaultTtl: 1 } });
    const fixed = new ContextCacheStore(reached.store, {
      namespace: ['fixed'],
      ttl: { defaultTtl: 1, refreshOnRead: false },
    });
    for (const store of [kept, fixed]) for (const name of ['got', 'found', 'not']) await store.put([name], 'k', {});
    clock.advance(40_000);
    for (const store of [kept, fixed]) {
      await store.get(['got'], 'k');
      await store.search(['found']);
    }
    clock.advance(40_000);
    const names = async (store: ContextCacheStore) => (await store.search([])).map((item) => item.namespace[0]);
    expect(await names(kept)).toEqual(['found', 'got']);
    expect(await names(fixed)).toEqual([]);
  });

  test('lets an agent that may only read an item read it, and leaves its expiry as it is', async () => {
    await using reached = await open();
    const ttl = { defaultTtl: 1 };
    await new ContextCacheStore(reached.store, { ttl }).put(['a'], 'k', { n: 1 });
    await reached.cache.setGrants([{ agent: 'reader', read: ['langgraph/store/**'] }]);
    const { position } = reached.cache;
    const handle = (reached.store as AgentContextCache).as({ agent: 'reader' });
    const store = new ContextCacheStore(handle, { ttl });
    expect((await store.get(['a'], 'k'))?.value).toEqual({ n: 1 });
    expect(await store.search(['a'])).toHaveLength(1);
    expect(reached.cache.position).toBe(position);
  });
});

test('a fork of the cache has threads and store at one position, and changes neither', async () => {
  await using cache = new AgentContextCache({ natsUrl: null });
  const of = (each: AgentContextCache) => ({ saver: new ContextCacheSaver(each), store: new ContextCacheStore(each) });
  const { saver, store } = of(cache);
  const checkpoint = { v: 4, id: 'id-1', ts: '', channel_values: {}, channel_versions: {}, versions_seen: {} };
  const config = { configurable: { thread_id: 'ann' } };
  await store.put(['a'], 'k', { n: 1 });
  await saver.put(config, checkpoint, { source: 'loop', step: 0, parents: {} }, {});
  const { position } = cache;
  await store.put(['a'], 'k', { n: 2 });
  await saver.put(config, { ...checkpoint, id: 'id-2' }, { source: 'loop', step: 1, parents: {} }, {});
  await using branch = await cache.fork({ at: position });
  expect((await of(branch).store.get(['a'], 'k'))?.value).toEqual({ n: 1 });
  expect((await of(branch).saver.getTuple(config))?.checkpoint.id).toBe('id-1');
  await of(branch).store.put(['a'], 'k', { n: 3 });
  expect((await store.get(['a'], 'k'))?.value).toEqual({ n: 2 });
});
