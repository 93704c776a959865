import { afterEach, expect, it, vi } from 'vitest';
import { AgentContextCache, type OpenOptions } from '../../src/index.ts';
import { startNats, startRedis } from '../support/servers.ts';

const BACK_OFF = { initialMs: 5, maximumMs: 20, stalledAfter: 3 };
const opened: AgentContextCache[] = [];

async function open(options: OpenOptions): Promise<AgentContextCache> {
  const cache = await AgentContextCache.open({ backOff: BACK_OFF, onError: () => {}, ...options });
  opened.push(cache);
  return cache;
}

afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.shutdown({ timeoutMs: 500 });
});

it('shows address and state of Redis and NATS without user and password', async () => {
  await using redis = await startRedis({ args: ['--requirepass', 'secret'] });
  await using nats = await startNats({ config: 'authorization { user: "agent", password: "secret" }' });
  const before = Date.now();
  const cache = await open({
    redisUrl: redis.url.replace('//', '//:secret@'),
    natsUrl: nats.url.replace('//', '//agent:secret@'),
    topics: ['t'],
  });
  await cache.set('key', 1);
  await cache.synced();
  const health = cache.health();
  expect(health.redis).toEqual({
    address: redis.url,
    state: 'connected',
    since: expect.any(Number),
    lastError: undefined,
  });
  expect(health.nats).toMatchObject({ address: `127.0.0.1:${nats.port}`, state: 'connected', lastError: undefined });
  expect(health.redis?.since).toBeGreaterThanOrEqual(before);
  expect(JSON.stringify(health)).not.toContain('secret');
  await cache.shutdown();
  expect(cache.health()).toMatchObject({ redis: { state: 'closed' }, nats: { state: 'closed' } });
});

it('shows since when a server is away, with the last error, and that it is back', async () => {
  await using redis = await startRedis();
  const cache = await open({ redisUrl: redis.url });
  await cache.synced();
  await redis.kill();
  await cache.set('key', 1);
  await vi.waitFor(() => expect(cache.health().redis?.state).toBe('failed'), { timeout: 20_000 });
  const { since = 0, lastError } = cache.health().redis ?? {};
  expect(lastError?.message).toContain(redis.url);
  expect(lastError?.at).toBeGreaterThanOrEqual(since);
  await redis.restart();
  await cache.synced();
  expect(cache.health().redis).toMatchObject({ state: 'connected', lastError: { message: expect.any(String) } });
});

it('shows no server that the cache does not use', async () => {
  const cache = await open({ natsUrl: null, topics: ['t'] });
  expect(cache.health()).toMatchObject({ redis: undefined, nats: undefined });
});
