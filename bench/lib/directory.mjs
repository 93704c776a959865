import { setImmediate as nextTurn } from 'node:timers/promises';
import { AgentContextCache } from './ours.mjs';

/** Creates a data directory with these updates, all of them in the state table too, and returns its open cache. */
export async function filledCache(dataDir, space, make, options = {}) {
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null, durability: 'memory', ...options });
  for (let i = 0; i < space.count; i += 1) {
    cache.set(space.keyOf[i], make(i), space.namespaceOf[i]);
    if (i % 1_000 === 999) await nextTurn();
    if (i % 20_000 === 19_999) await cache.flush();
  }
  await cache.flush();
  await cache.synced({ timeoutMs: 1_200_000 });
  return cache;
}
