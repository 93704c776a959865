// Mirrors to Redis and broadcasts to NATS. Stop either server for a while: writes do not wait, and it catches up later.
//   REDIS_URL=redis://127.0.0.1:6379 NATS_URL=nats://127.0.0.1:4222 node examples/redis-and-nats.mjs
import { AgentContextCache } from 'agent-context-cache';

const { REDIS_URL, NATS_URL } = process.env;
if (!REDIS_URL || !NATS_URL) {
  console.log('Set REDIS_URL and NATS_URL to try this one.');
} else {
  const cache = new AgentContextCache({
    redisUrl: REDIS_URL,
    natsUrl: NATS_URL,
    topics: ['agents.context'],
    subjectId: 'agent-1',
  });
  await cache.set('plan', { steps: ['search'] }, 'trip');
  await cache.delete('plan', 'trip');
  await cache.set('booking', { flight: 'TP 258' }, 'trip');
  await cache.synced();
  for (const { name, state, delivered, lag } of cache.health().followers)
    console.log(name, state, `${delivered} delivered`, `${lag} to go`);
  await cache.shutdown();
}
