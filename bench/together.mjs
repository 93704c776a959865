// Measures log, mirror, broadcast and backup at once. The limit does the bare parts one after the other, so its rate is
// 1 / (1/log + 1/mirror + 1/broadcast + 1/backup).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkSame, sample } from './lib/check.mjs';
import { GroupFile } from './lib/group-file.mjs';
import { AgentContextCache, DirectorySnapshotStore, decode, encode, encodeRow, PartBuilder } from './lib/ours.mjs';
import { subscribeElsewhere } from './lib/subscribe.mjs';
import { frameOf, updateOf } from './lib/updates.mjs';
import { VALUES } from './lib/values.mjs';

const TOPIC = 'bench.context';
const BURST = 1_000;
const GROUP = 4_096;
const namespaceOf = (i) => `agent/${i % 100}`;
const keyOf = (i) => `key-${i}`;

export default {
  order: 9,
  title: 'log, mirror, broadcast and backup at once',
  about: 'updates of a small object a second, until all are on disk, in Redis, at a subscriber and in a snapshot',
  metrics: { rate: { unit: '/s', better: 'more', what: '' } },
  ratioStyle: 'share',
  goals: [{ ofLimit: 0.8, text: '80 % of the bare parts one after the other' }],
  servers: { redis: [], nats: [] },
  cases: ({ quick }) => [{ name: 'small object', headline: true, updates: quick ? 3_000 : 100_000 }],
  candidates: [
    { name: 'the bare parts, one after the other', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
  ],
  async measure({ candidate, case: { updates: count }, dir, redis: redisUrl, nats: natsUrl }) {
    const { Redis } = await import('ioredis');
    const redis = new Redis(redisUrl);
    let ms;
    for (const [label, many] of [
      ['warm', count],
      ['measured', count],
    ]) {
      await redis.flushall();
      ms = await RUNS[candidate]({ dir: join(dir, label), redis, redisUrl, natsUrl, count: many });
      for (const i of sample(many, 200)) {
        const bytes = await redis.getBuffer(`${namespaceOf(i)}:${keyOf(i)}`);
        checkSame(bytes && decode(bytes), VALUES.small(i), `entry ${i} in Redis`);
      }
    }
    redis.disconnect();
    return { rate: (count / ms) * 1_000 };
  },
};

const RUNS = {
  'agent-context-cache': async ({ dir, redisUrl, natsUrl, count }) => {
    const store = new DirectorySnapshotStore(join(dir, 'backups'));
    const options = { dataDir: join(dir, 'data'), redisUrl, natsUrl, topics: [TOPIC], backup: { store } };
    const cache = await AgentContextCache.open({ ...options, durability: 'memory' });
    await cache.synced({ timeoutMs: 10_000 });
    const subscriber = await subscribeElsewhere(natsUrl, TOPIC, count);
    const began = performance.now();
    for (let i = 0; i < count; ) {
      for (const end = Math.min(count, i + BURST); i < end; i += 1)
        cache.set(keyOf(i), VALUES.small(i), namespaceOf(i));
      await nextTurn();
    }
    await cache.backup();
    await cache.synced({ timeoutMs: 600_000 });
    await subscriber.all;
    const ms = performance.now() - began;
    checkSame((await subscriber.report).keys, count, 'the number of messages');
    subscriber.close();
    await cache.shutdown({ timeoutMs: 60_000 });
    const restored = await AgentContextCache.open({ restoreFrom: join(dir, 'backups'), natsUrl: null });
    for (const i of sample(count, 200)) {
      checkSame(restored.get(keyOf(i), namespaceOf(i)), VALUES.small(i), `entry ${i} of the snapshot`);
    }
    await restored.shutdown();
    return ms;
  },

  'the bare parts, one after the other': async ({ dir, redis, natsUrl, count }) => {
    const { connect } = await import('@nats-io/transport-node');
    const { mkdir } = await import('node:fs/promises');
    await mkdir(dir);
    const connection = await connect({ servers: natsUrl });
    const subscriber = await subscribeElsewhere(natsUrl, TOPIC, count);
    const file = new GroupFile(join(dir, 'raw.log'));
    const updates = Array.from({ length: count }, (_, i) => updateOf(i, namespaceOf(i), keyOf(i), VALUES.small(i)));
    const began = performance.now();
    await logged(updates, file);
    await mirrored(updates, redis);
    await published(updates, connection);
    await subscriber.all;
    backedUp(updates, dir);
    const ms = performance.now() - began;
    checkSame((await subscriber.report).keys, count, 'the number of messages');
    subscriber.close();
    await connection.close();
    file.close();
    return ms;
  },
};

async function logged(updates, file) {
  for (let from = 0; from < updates.length; from += GROUP) {
    await file.append(frameOf(updates.slice(from, from + GROUP)));
  }
}

async function mirrored(updates, redis) {
  for (let from = 0; from < updates.length; from += BURST) {
    const pairs = updates
      .slice(from, from + BURST)
      .flatMap(({ namespace, key, value }) => [`${namespace}:${key}`, encode(value)]);
    await redis.mset(pairs);
  }
}

async function published(updates, connection) {
  for (let from = 0; from < updates.length; from += BURST) {
    for (const { namespace, key, value, position, version, at } of updates.slice(from, from + BURST)) {
      const event = { operation: 'set', namespace, key, value };
      const message = { event_type: 'context_update', sender_subject_id: null, event_data: event };
      connection.publish(TOPIC, JSON.stringify({ ...message, event_id: `log-${position}`, position, version, at }));
    }
    await nextTurn();
  }
  await connection.flush();
}

function backedUp(updates, dir) {
  const part = new PartBuilder();
  for (const { key, value, version, at, bytes } of updates) {
    part.add(encodeRow(key, { value, version, createdAt: at, updatedAt: at, expiresAt: null, agent: null, bytes }));
  }
  writeFileSync(join(dir, 'part'), part.take());
}
