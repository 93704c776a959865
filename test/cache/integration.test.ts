import { execFileSync } from 'node:child_process';
import { decode } from '@msgpack/msgpack';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache, type ContextCommand, type JsonValue, type OpenOptions } from '../../src/index.ts';
import { AIRLINE_UPDATES, airlineLines, foldCommands } from '../support/airline.ts';
import { subscribeRaw } from '../support/nats-wire.ts';
import { startNats, startRedis } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';

const QUICK = { initialMs: 5, maximumMs: 50, stalledAfter: 10 };
const opened: AgentContextCache[] = [];

async function open(options: OpenOptions): Promise<AgentContextCache> {
  const cache = await AgentContextCache.open({ backOff: QUICK, onError: () => {}, ...options });
  opened.push(cache);
  return cache;
}

afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.shutdown({ timeoutMs: 2_000 });
});

function commands(): ContextCommand[] {
  return airlineLines().map((line) => JSON.parse(line) as ContextCommand);
}

/** Reads the content of a Redis mirror without using the package. */
async function mirrored(url: string): Promise<Map<string, unknown>> {
  const redis = new Redis(url);
  const held = new Map<string, unknown>();
  for (const key of await redis.keys('*')) {
    if (!key.startsWith(':')) held.set(key, decode((await redis.getBuffer(key)) as Buffer));
  }
  redis.disconnect();
  return held;
}

function expected(lines: readonly string[]): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const [namespace, entries] of foldCommands(lines).entries) {
    for (const [key, { value }] of entries)
      values.set(`${namespace.replaceAll('%', '%25').replaceAll(':', '%3A')}:${key}`, value);
  }
  return values;
}

describe('the airline file', () => {
  it.each([['in memory'], ['on a durable log']])(
    'is mirrored to Redis and broadcast on two topics, %s',
    async (where) => {
      await using redis = await startRedis();
      await using nats = await startNats();
      const subscriber = await subscribeRaw(nats.url, ['agents.one', 'agents.two']);
      await subscriber.flush();
      const cache = await open({
        dataDir: where === 'in memory' ? undefined : await tempDir(),
        redisUrl: redis.url,
        natsUrl: nats.url,
        topics: ['agents.one', 'agents.two'],
        subjectId: 'agent-7',
      });
      for (const command of commands()) cache.supervisor.send(command);
      expect(cache.position).toBe(AIRLINE_UPDATES);
      await cache.synced();

      expect(await mirrored(redis.url)).toEqual(expected(airlineLines()));
      await subscriber.flush();
      expect(subscriber.messages).toHaveLength(2 * AIRLINE_UPDATES);
      const updates = [];
      for await (const update of cache.readLog({ from: 1 })) updates.push(update);
      for (const topic of ['agents.one', 'agents.two']) {
        const messages = subscriber.messages
          .filter(({ subject }) => subject === topic)
          .map(({ payload }) => JSON.parse(payload));
        expect(messages.map(({ position }) => position)).toEqual(updates.map(({ position }) => position));
        expect(
          messages.map(({ event_type, sender_subject_id, event_data }) => ({
            event_type,
            sender_subject_id,
            event_data,
          })),
        ).toEqual(
          updates.map(({ operation, namespace, key, value }) => ({
            event_type: 'context_update',
            sender_subject_id: 'agent-7',
            event_data: { operation, namespace, key, value },
          })),
        );
      }
      await subscriber.close();
    },
  );

  it('never waits for a Redis and NATS that stop, hang and return, and both end up equal to the cache', async () => {
    await using redis = await startRedis();
    await using nats = await startNats();
    const cache = await open({
      dataDir: await tempDir(),
      redisUrl: redis.url,
      natsUrl: nats.url,
      topics: ['agents.all'],
      mirrorTimeoutMs: 300,
    });
    await cache.synced();
    const all = commands();
    const faults: (() => Promise<void> | void)[] = [
      () => redis.kill(),
      () => nats.kill(),
      () => redis.restart(),
      () => nats.restart(),
      () => redis.pause(),
      () => nats.pause(),
      () => redis.resume(),
      () => nats.resume(),
    ];
    const step = Math.ceil(all.length / faults.length);
    for (const fault of faults) {
      await fault();
      const some = all.splice(0, step);
      while (some.length > 0) await Promise.all(some.splice(0, 50).map((command) => cache.ask(command)));
    }
    // The kill ended the connection of the core NATS subscriber, so a new one is needed.
    const last = await subscribeRaw(nats.url, ['agents.all']);
    await last.flush();
    cache.supervisor.send({ type: 'context.set', key: 'last', value: true });
    await cache.synced();
    const held = await mirrored(redis.url);
    expect(held.get('default:last')).toBe(true);
    held.delete('default:last');
    expect(held).toEqual(expected(airlineLines()));
    // Waits for the last message too.
    await last.flush();
    expect(JSON.parse(last.messages.at(-1)?.payload ?? '{}').position).toBe(AIRLINE_UPDATES + 1);
    expect(cache.health().status).toBe('ok');
    await last.close();
  });

  it('gives a mirror that was away all the time the last value of every key, in memory', async () => {
    await using redis = await startRedis();
    const { url } = redis;
    await redis.kill();
    const cache = await open({ redisUrl: url, log: { capacityUpdates: 64 } });
    for (const command of commands()) cache.supervisor.send(command);
    await redis.restart();
    await cache.synced();
    expect(await mirrored(url)).toEqual(expected(airlineLines()));
    expect(cache.health().followers.find(({ name }) => name === 'mirror')?.skipped).toBeGreaterThan(0);
  });

  it('refills a Redis that was emptied', async () => {
    await using redis = await startRedis();
    const cache = await open({ dataDir: await tempDir(), redisUrl: redis.url });
    for (const command of commands()) cache.supervisor.send(command);
    await cache.synced();
    // The mirror may refill Redis before the test sees it empty. The missing mark proves that it was emptied.
    const client = new Redis(redis.url);
    client.on('error', () => {});
    await client.set(':mark', 'of another');
    await redis.restart();
    expect(await client.exists(':mark')).toBe(0);
    client.disconnect();
    await cache.set('after', 1);
    await cache.synced();
    const held = await mirrored(redis.url);
    expect(held.get('default:after')).toBe(1);
    held.delete('default:after');
    expect(held).toEqual(expected(airlineLines()));
  });

  it('is backed up to Redis and restored with equal values and versions', async () => {
    await using redis = await startRedis();
    const cache = await open({ redisUrl: redis.url, backup: { mode: 'manual', enabled: true } });
    for (const command of commands()) cache.supervisor.send(command);
    const { position } = await cache.backup();
    expect(position).toBe(AIRLINE_UPDATES);
    for (const dataDir of [undefined, await tempDir()]) {
      const restored = await open({ dataDir, restoreFrom: redis.url });
      expect(restored.position).toBe(position);
      expect(restored.listNamespaces()).toEqual(cache.listNamespaces());
      for (const namespace of cache.listNamespaces()) {
        const byKey = (entries: { key: string }[]) => entries.sort((a, b) => (a.key < b.key ? -1 : 1));
        expect(byKey(restored.entries(namespace))).toEqual(byKey(cache.entries(namespace)));
      }
      const { position: next } = await restored.set('more', 1);
      expect(next).toBe(position + 1);
    }
  });
});

describe('with real servers', () => {
  it('shows the values of the cache to redis-cli under namespace:key', async () => {
    await using redis = await startRedis();
    const cache = await open({ redisUrl: redis.url });
    await cache.set('greeting', 'hello', 'a:b');
    await cache.set('b:greeting', 'other', 'a');
    await cache.synced();
    const cli = (...args: string[]) => execFileSync('redis-cli', ['-u', redis.url, ...args], { encoding: 'buffer' });
    const value = cli('--raw', 'get', 'a%3Ab:greeting');
    expect(decode(value.subarray(0, -1))).toBe('hello');
    expect(decode(cli('--raw', 'get', 'a:b:greeting').subarray(0, -1))).toBe('other');
  });

  it('warns once with useDefault and no Redis, and the mirror catches up when Redis appears', async () => {
    await using redis = await startRedis();
    await redis.kill();
    const warnings: string[] = [];
    const cache = await open({
      useDefault: true,
      redisUrl: redis.url,
      // A stalled mirror warns again. The number of attempts depends on the speed of the machine and is not tested.
      backOff: { ...QUICK, stalledAfter: Number.MAX_SAFE_INTEGER },
      onError: (error) => warnings.push(error.message),
    });
    for (let i = 0; i < 1_000; i += 1) await cache.set(`key-${i}`, i);
    await vi.waitFor(() => expect(cache.health().followers[0]?.attempts).toBeGreaterThan(2), { timeout: 30_000 });
    expect(warnings).toHaveLength(1);
    await redis.restart();
    await cache.synced();
    expect((await mirrored(redis.url)).size).toBe(1_000);
  });

  it('connects to NATS only with topics, which can change while running and are stored in the data directory', async () => {
    await using nats = await startNats();
    const dataDir = await tempDir();
    const subscriber = await subscribeRaw(nats.url, ['one', 'two']);
    await subscriber.flush();
    const cache = await open({ dataDir, natsUrl: nats.url });
    await cache.set('before', 1);
    expect(cache.health().followers.map(({ name }) => name)).not.toContain('broadcaster');
    await cache.addTopic('one');
    await cache.set('first', 1);
    await cache.addTopic('two');
    await cache.set('second', 2);
    await cache.synced();
    await cache.removeTopic('one');
    await cache.set('third', 3);
    await cache.synced();
    await cache.shutdown();
    const again = await open({ dataDir, natsUrl: nats.url });
    expect(again.getTopicsList()).toEqual(['two']);
    await again.set('fourth', 4);
    await again.synced();
    await subscriber.flush();
    const got = subscriber.messages.map(({ subject, payload }) => `${subject} ${JSON.parse(payload).event_data.key}`);
    expect(got).toEqual(['one first', 'one second', 'two second', 'two third', 'two fourth']);
    await subscriber.close();
  });

  it('publishes an update over max_payload without its value and continues with the rest', async () => {
    await using nats = await startNats({ config: 'max_payload: 4096' });
    const subscriber = await subscribeRaw(nats.url, ['t']);
    await subscriber.flush();
    const cache = await open({ natsUrl: nats.url, topics: ['t'] });
    await cache.set('small', 1);
    await cache.set('large', 'x'.repeat(10_000));
    await cache.set('after', 2);
    await cache.synced();
    await subscriber.flush();
    expect(subscriber.messages).toHaveLength(3);
    const [, large, after] = subscriber.messages.map(({ payload }) => JSON.parse(payload));
    expect(large.event_data).toEqual({ operation: 'set', namespace: 'default', key: 'large', value: null });
    expect(large.value_omitted).toBe(true);
    expect(after.event_data.key).toBe('after');
    await subscriber.close();
  });

  it('reports the undelivered updates within the timeout of a shutdown without Redis', async () => {
    await using redis = await startRedis();
    await redis.kill();
    const cache = await open({ redisUrl: redis.url });
    await cache.set('a', 1);
    const report = await cache.shutdown({ timeoutMs: 200 });
    expect(report.undelivered).toMatchObject([{ follower: 'mirror', updates: 1 }]);
    expect(await cache.shutdown()).toBe(report);
  });

  it('delivers on the next start the updates that a shutdown could not deliver', async () => {
    await using redis = await startRedis();
    const dataDir = await tempDir();
    await redis.kill();
    const cache = await open({ dataDir, redisUrl: redis.url });
    await cache.set('a', { left: 'over' });
    await cache.shutdown({ timeoutMs: 100 });
    await redis.restart();
    const again = await open({ dataDir, redisUrl: redis.url });
    await again.synced();
    expect(await mirrored(redis.url)).toEqual(new Map<string, JsonValue>([['default:a', { left: 'over' }]]));
  });

  it('stores a snapshot soon after a change once enableBackup is called', async () => {
    const store = new MemorySnapshotStore();
    const cache = await open({ backup: { store, mode: 'on_change', interval: 0.01 } });
    expect(cache.isBackupEnabled()).toBe(false);
    await cache.enableBackup();
    await cache.set('a', 1);
    await vi.waitFor(() => expect(cache.getBackupStatus().lastSnapshot?.position).toBe(1), { timeout: 30_000 });
    const restored = await open({ restoreFrom: store });
    expect(restored.get('a')).toBe(1);
  });
});

it('broadcasts to topics that are removed and added again at once', async () => {
  await using nats = await startNats();
  const subscriber = await subscribeRaw(nats.url, ['t']);
  await subscriber.flush();
  const cache = await open({ natsUrl: nats.url, topics: ['t'] });
  await cache.set('a', 1);
  await cache.synced();
  await Promise.all([
    cache.setTopicsList([]),
    cache.addTopic('t'),
    cache.setTopicsList([]),
    cache.setTopicsList(['t']),
  ]);
  await cache.set('b', 2);
  await cache.synced();
  await subscriber.flush();
  expect(subscriber.messages.map(({ payload }) => JSON.parse(payload).position)).toEqual([1, 2]);
  subscriber.close();
});
