import { jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { check, checkSame } from '../check.mjs';
import { AgentContextCache, encode } from '../ours.mjs';
import { VALUES } from '../values.mjs';

/** Keys of each writer, in 100 namespaces. */
const KEYS = 3_000;
/** Bytes of a command beside its value: namespace, key and numbers. */
const COMMAND_BYTES = 28;
/** Messages that a node has on their way. The raw publisher packs commands as a node does. */
const MESSAGES = 2;
/** Numbers below it are those of the warm-up. */
export const MEASURED_FROM = 10_000_000;

const placeOf = (writer, i) => [`agent/${i % 100}`, `key-${writer}-${i % KEYS}`];

/**
 * The kinds of writers, each for a process of its own. `write(i)` resolves when the write is acknowledged. `commands`: writes that one call
 * stands for. `check(from, last)` reads back what was written.
 */
export const WRITERS = {
  async node({ urls, name, writer, dataDir, snapshots, maxQueued = 200_000 }) {
    const cluster = { servers: urls, name, node: `node-${writer}`, snapshots, maxQueued, writeTimeoutMs: 60_000 };
    const onError = (error) => process.stderr.write(`node-${writer}: ${error.message}\n`);
    const cache = await AgentContextCache.open({ cluster, dataDir, natsUrl: null, onError });
    return {
      cache,
      write(i) {
        const [namespace, key] = placeOf(writer, i);
        return cache.set(key, VALUES.small(i), namespace);
      },
      async check(from, last) {
        await cache.barrier();
        for (let i = last; i > Math.max(from, last - 200); i -= 1) {
          const [namespace, key] = placeOf(writer, i);
          checkSame(cache.get(key, namespace), VALUES.small(i), `write ${i}`);
        }
      },
      close: () => cache.shutdown({ timeoutMs: 10_000 }),
    };
  },

  async raw({ urls, name, inFlight }) {
    const connection = await connect({ servers: urls[0] });
    const stream = jetstream(connection);
    const commands = Math.max(1, inFlight / MESSAGES);
    const bytes = Buffer.alloc(commands * (encode(VALUES.small(0)).length + COMMAND_BYTES), 'x');
    let acknowledged = 0;
    return {
      commands,
      async write() {
        const { seq } = await stream.publish(`acc.${name}.c.0`, bytes);
        acknowledged = Math.max(acknowledged, seq);
      },
      check: () => check(acknowledged > 0, 'nothing was acknowledged'),
      close: () => connection.close(),
    };
  },

  async redis({ redis: url, writer }) {
    const { Redis } = await import('ioredis');
    const redis = new Redis(url, { enableAutoPipelining: true });
    return {
      write(i) {
        const [namespace, key] = placeOf(writer, i);
        return redis.set(`${namespace}:${key}`, JSON.stringify(VALUES.small(i)));
      },
      check: (from, last) =>
        lastOnes(writer, from, last, async (place) => JSON.parse((await redis.get(place)) ?? 'null')),
      close: () => redis.disconnect(),
    };
  },

  async cacheable({ redis: url, writer }) {
    const [{ Cacheable }, { default: KeyvRedis }] = await Promise.all([import('cacheable'), import('@keyv/redis')]);
    const cacheable = new Cacheable({ secondary: new KeyvRedis(url) });
    return {
      write(i) {
        const [namespace, key] = placeOf(writer, i);
        return cacheable.set(`${namespace}:${key}`, VALUES.small(i));
      },
      check: (from, last) => lastOnes(writer, from, last, (place) => cacheable.secondary.get(place)),
      close: () => cacheable.disconnect(),
    };
  },
};

async function lastOnes(writer, from, last, get) {
  for (let i = last; i > Math.max(from, last - 200); i -= 1) {
    checkSame(await get(placeOf(writer, i).join(':')), VALUES.small(i), `write ${i}`);
  }
}
