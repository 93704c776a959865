// Measures how many updates a second reach Redis, all with different keys.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { check, checkSame, sample } from './lib/check.mjs';
import { AgentContextCache, decode, encode } from './lib/ours.mjs';
import { VALUES } from './lib/values.mjs';

const BURST = 1_000;
/** Keys per MSET or HSET. */
const BATCH = 1_000;
const NAMESPACES = 100;
const namespaceOf = (i) => `agent/${i % NAMESPACES}`;
const keyOf = (i) => `key-${i}`;

export default {
  order: 8,
  title: 'mirror to Redis',
  about: 'entries a second that are in Redis, in 100 namespaces, until all are there',
  metrics: { rate: { unit: '/s', better: 'more', what: '' } },
  ratioStyle: 'share',
  goals: [{ ofLimit: 0.8, text: '80 % of a MSET a batch' }],
  servers: { redis: [] },
  cases: ({ quick }) => [
    { name: 'small object', headline: true, make: 'small', entries: quick ? 3_000 : 100_000 },
    { name: '1 KiB object', make: 'kib', entries: quick ? 1_000 : 40_000 },
  ],
  candidates: [
    { name: 'a MSET a batch', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
    { name: 'a HSET a batch', role: 'yardstick' },
    { name: 'pipelined SETs', role: 'yardstick' },
    { name: '@keyv/redis', role: 'rival' },
    { name: 'cacheable with Redis', role: 'rival' },
  ],
  async measure({ candidate, case: { make, entries }, redis: url }) {
    const { Redis } = await import('ioredis');
    const redis = new Redis(url);
    const value = VALUES[make];
    // A warm-up as long as the run itself: a short run would measure the compilers.
    await run(candidate, { redis, url, count: entries, value });
    const ms = await run(candidate, { redis, url, count: entries, value });
    redis.disconnect();
    return { rate: (entries / ms) * 1_000 };
  },
};

async function run(candidate, { redis, url, count, value }) {
  await redis.flushall();
  const writer = await WRITERS[candidate](url);
  const began = performance.now();
  await writer.write(count, value);
  const ms = performance.now() - began;
  for (const i of sample(count, 200)) {
    const bytes = await writer.read(redis, i);
    check(bytes !== null, `entry ${i} is not in Redis`);
    checkSame(writer.decode(bytes), value(i), `entry ${i}`);
  }
  await writer.close();
  return ms;
}

const plainKey = (i) => `${namespaceOf(i)}:${keyOf(i)}`;
const readString = (redis, i) => redis.getBuffer(plainKey(i));

/** Sends batches one after the other, as the mirror does. */
function batched(send, read) {
  return async (url) => {
    const { Redis } = await import('ioredis');
    const redis = new Redis(url);
    return {
      async write(count, value) {
        for (let from = 0; from < count; from += BATCH) await send(redis, from, Math.min(count, from + BATCH), value);
      },
      read,
      decode,
      close: () => redis.disconnect(),
    };
  };
}

/** Calls in flight at a time. */
async function inFlight(count, many, call) {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      next += 1;
      await call(next - 1);
    }
  };
  await Promise.all(Array.from({ length: many }, worker));
}

const WRITERS = {
  'a MSET a batch': batched(async (redis, from, to, value) => {
    const pairs = [];
    for (let i = from; i < to; i += 1) pairs.push(plainKey(i), encode(value(i)));
    await redis.mset(pairs);
  }, readString),

  'a HSET a batch': batched(
    async (redis, from, to, value) => {
      const fields = new Map();
      for (let i = from; i < to; i += 1) {
        const namespace = namespaceOf(i);
        let own = fields.get(namespace);
        if (own === undefined) {
          own = [];
          fields.set(namespace, own);
        }
        own.push(keyOf(i), encode(value(i)));
      }
      const pipeline = redis.pipeline();
      for (const [namespace, own] of fields) pipeline.hset(namespace, ...own);
      await pipeline.exec();
    },
    (redis, i) => redis.hgetBuffer(namespaceOf(i), keyOf(i)),
  ),

  'pipelined SETs': batched(async (redis, from, to, value) => {
    const pipeline = redis.pipeline();
    for (let i = from; i < to; i += 1) pipeline.set(plainKey(i), encode(value(i)));
    await pipeline.exec();
  }, readString),

  'agent-context-cache': async (url) => {
    // Room for all updates, so that the log in memory is not what is measured.
    const log = { capacityUpdates: 2 ** 20, capacityBytes: 2 ** 31 };
    const cache = new AgentContextCache({ redisUrl: url, natsUrl: null, log });
    await cache.synced({ timeoutMs: 10_000 });
    return {
      async write(count, value) {
        for (let i = 0; i < count; ) {
          for (const end = Math.min(count, i + BURST); i < end; i += 1) cache.set(keyOf(i), value(i), namespaceOf(i));
          await nextTurn();
        }
        await cache.synced({ timeoutMs: 600_000 });
      },
      read: readString,
      decode,
      close: () => cache.shutdown(),
    };
  },

  '@keyv/redis': async (url) => {
    const [{ Keyv }, { default: KeyvRedis }] = await Promise.all([import('keyv'), import('@keyv/redis')]);
    const keyv = new Keyv(new KeyvRedis(url), { useKeyPrefix: false, namespace: '' });
    return {
      write: (count, value) => inFlight(count, 1_000, (i) => keyv.set(plainKey(i), value(i))),
      read: async (redis, i) => ((await redis.exists(plainKey(i))) ? keyv.get(plainKey(i)) : null),
      decode: (value) => value,
      close: () => keyv.disconnect(),
    };
  },

  'cacheable with Redis': async (url) => {
    const [{ Cacheable }, { default: KeyvRedis }] = await Promise.all([import('cacheable'), import('@keyv/redis')]);
    const store = new KeyvRedis(url);
    const cacheable = new Cacheable({ secondary: store });
    return {
      write: (count, value) => inFlight(count, 1_000, (i) => cacheable.set(plainKey(i), value(i))),
      // From Redis, not from its own memory.
      read: async (_, i) => (await cacheable.secondary.get(plainKey(i))) ?? null,
      decode: (value) => value,
      close: () => cacheable.disconnect(),
    };
  },
};
