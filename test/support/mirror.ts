import type { CacheOptions, InMemoryContextCache } from '../../src/index.ts';
import { LateCache, makeCache, turns } from './cache.ts';

export const backOff: CacheOptions['backOff'] = { initialMs: 10, maximumMs: 40, stalledAfter: 4 };

/** A cache with a secondary in this process. */
export function mirrored(options: CacheOptions<InMemoryContextCache> = {}) {
  const secondary = new LateCache();
  return { ...makeCache({ secondaryCache: secondary, backOff, ...options }), secondary };
}

export type Made = ReturnType<typeof mirrored>;

export const mirror = (cache: Made['cache']) => cache.health().followers.find(({ name }) => name === 'mirror');

/** Lets time pass until the mirror has everything. */
export async function catchUp({ cache, clock }: Pick<Made, 'cache' | 'clock'>): Promise<void> {
  await cache.flush();
  for (let i = 0; i < 500; i += 1) {
    await turns(3);
    if (mirror(cache)?.lag === 0 && mirror(cache)?.state === 'following') return;
    clock.increment(10);
  }
  throw new Error(`The mirror did not catch up: ${JSON.stringify(mirror(cache))}`);
}
