// Measures the checkpoint saver and the store for LangGraph beside the framework's own in memory, and beside Redis. The framework's
// package for Redis needs a Redis with RedisJSON and RediSearch, so Redis is used as a project would without them.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkSame } from './lib/check.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { COST, nanosecondsPerOperation, paceOf } from './lib/passes.mjs';

const OURS = 'agent-context-cache';
const FRAMEWORK = 'LangGraph, in memory';
const REDIS = 'Redis, JSON of each value, ioredis';
/** Entries that are written together while a case is prepared. */
const TOGETHER = 500;

const idOf = (i) => `1ef00000-0000-6000-8000-${String(i).padStart(12, '0')}`;
const threadOf = (id) => ({ configurable: { thread_id: 'ann', checkpoint_ns: '', ...(id && { checkpoint_id: id }) } });
const userOf = (i) => `user-${String(i).padStart(6, '0')}`;
const itemOf = (i) => ({ likes: 'pancakes', visits: i });

export default {
  order: 21,
  title: 'LangGraph',
  about: 'nanoseconds of the processor for a call of a checkpoint saver or a store; for Redis without the server',
  metrics: COST,
  servers: { redis: [] },
  cases: ({ quick }) => [
    {
      name: quick ? 'newest of 40 checkpoints' : 'newest of 4,000 checkpoints',
      ...{ headline: true, kind: 'newest', count: quick ? 40 : 4_000 },
      goals: [{ ahead: 0.5, of: [FRAMEWORK], text: 'within 2× of MemorySaver' }],
    },
    {
      name: quick
        ? 'a search of 200 namespaces that finds nothing'
        : 'a search of 100,000 namespaces that finds nothing',
      ...{ headline: true, kind: 'search', count: quick ? 200 : 100_000 },
      goals: [{ ahead: 0.5, of: [FRAMEWORK], text: 'within 2× of InMemoryStore' }],
    },
    { name: '`put` of a checkpoint', kind: 'checkpoint', count: 0 },
    { name: '`put` of an item', kind: 'put', count: 0 },
  ],
  candidates: [
    { name: OURS, role: 'ours' },
    { name: FRAMEWORK, role: 'rival' },
    { name: REDIS, role: 'rival' },
  ],
  async measure({ candidate, case: { kind, count }, scale, redis }) {
    const memory = await MEMORIES[candidate](redis);
    const { call, burst, check } = await KINDS[kind](memory, count);
    const run = async (from, many) => {
      for (let i = from; i < from + many; i += 1) await call(i);
    };
    const { done, ...cost } = await nanosecondsPerOperation(run, paceOf(scale), burst);
    await check(done);
    await memory.close();
    return cost;
  },
};

/** Prepare a case; then a call of it, how many of them a burst has, and a check after `done` calls. */
const KINDS = {
  async newest({ saver }, count) {
    for (let i = 0; i < count; i += 1) await put(saver, i);
    const call = async () =>
      checkSame((await saver.getTuple(threadOf()))?.checkpoint.id, idOf(count - 1), 'the newest');
    return { call, burst: 64, check: () => {} };
  },

  async search({ store }, count) {
    for (let i = 0; i < count; i += TOGETHER)
      await store.batch(
        Array.from({ length: Math.min(TOGETHER, count - i) }, (_, j) => ({
          ...{ namespace: ['users', userOf(i + j)], key: 'food', value: itemOf(i + j) },
        })),
      );
    const call = async () =>
      checkSame(await store.search(['users'], { filter: { likes: 'waffles' } }), [], 'what was found');
    const check = async () => {
      const found = await store.search(['users'], { filter: { visits: count - 1 } });
      checkSame(
        found.map(({ namespace }) => namespace[1]),
        [userOf(count - 1)],
        'the last item',
      );
    };
    return { call, burst: 1, check };
  },

  async checkpoint({ saver }) {
    const check = async (done) =>
      checkSame((await saver.getTuple(threadOf()))?.checkpoint.id, idOf(done - 1), 'the last checkpoint');
    return { call: (i) => put(saver, i), burst: 256, check };
  },

  async put({ store }) {
    const call = (i) => store.put(['users', userOf(i % 1_000)], 'food', itemOf(i));
    const check = async (done) =>
      checkSame(
        (await store.get(['users', userOf((done - 1) % 1_000)], 'food'))?.value,
        itemOf(done - 1),
        'the last item',
      );
    return { call, burst: 256, check };
  },
};

function put(saver, i) {
  const messages = [`message ${i}`, 'an answer'];
  const checkpoint = {
    ...{ v: 4, id: idOf(i), ts: '2026-01-01T00:00:00.000Z', channel_values: { messages, visits: i } },
    ...{ channel_versions: { messages: i + 1, visits: i + 1 }, versions_seen: {} },
  };
  const metadata = { source: 'loop', step: i, parents: {} };
  const { channel_versions: versions } = checkpoint;
  return saver.put(threadOf(i > 0 && idOf(i - 1)), checkpoint, metadata, versions);
}

const MEMORIES = {
  async [OURS]() {
    const { ContextCacheSaver, ContextCacheStore } = await import('../dist/src/langgraph.js');
    const cache = new AgentContextCache({ natsUrl: null });
    const close = () => cache.shutdown({ timeoutMs: 0 });
    return { saver: new ContextCacheSaver(cache), store: new ContextCacheStore(cache), close };
  },

  async [FRAMEWORK]() {
    const bench = createRequire(join(import.meta.dirname, 'package.json'));
    const { MemorySaver, InMemoryStore } = await import(
      pathToFileURL(bench.resolve('@langchain/langgraph-checkpoint'))
    );
    return { saver: new MemorySaver(), store: new InMemoryStore(), close() {} };
  },

  async [REDIS](url) {
    const { Redis } = await import('ioredis');
    const redis = new Redis(url, { enableAutoPipelining: true });
    await redis.flushall();
    return { ...redisMemory(redis), close: () => redis.disconnect() };
  },
};

/** A checkpoint is a key of JSON beside an index of ids by thread; an item is a key of JSON, so a search reads all below a prefix. */
function redisMemory(redis) {
  const saver = {
    async put({ configurable: { thread_id: thread } }, checkpoint, metadata) {
      const stored = JSON.stringify({ checkpoint, metadata });
      await Promise.all([redis.set(`${thread}:${checkpoint.id}`, stored), redis.zadd(thread, 0, checkpoint.id)]);
    },
    async getTuple({ configurable: { thread_id: thread } }) {
      const [id] = await redis.zrevrange(thread, 0, 0);
      return id && JSON.parse(await redis.get(`${thread}:${id}`));
    },
  };
  const keyOf = (namespace, key) => [...namespace, key].join(':');
  const store = {
    put: (namespace, key, value) => redis.set(keyOf(namespace, key), JSON.stringify(value)),
    batch: (puts) => Promise.all(puts.map(({ namespace, key, value }) => store.put(namespace, key, value))),
    async get(namespace, key) {
      const text = await redis.get(keyOf(namespace, key));
      return text && { value: JSON.parse(text) };
    },
    async search(prefix, { filter }) {
      const found = [];
      const stream = redis.scanStream({ match: `${prefix.join(':')}:*`, count: 1_000 });
      for await (const keys of stream) {
        const texts = keys.length === 0 ? [] : await redis.mget(keys);
        for (const [index, text] of texts.entries()) {
          const value = JSON.parse(text);
          if (!Object.entries(filter).every(([field, wanted]) => value[field] === wanted)) continue;
          const parts = keys[index].split(':');
          found.push({ namespace: parts.slice(0, -1), key: parts.at(-1), value });
        }
      }
      return found;
    },
  };
  return { saver, store };
}
