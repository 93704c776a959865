import fc from 'fast-check';
import { AgentContextCache, type ReplayOptions, replay } from '../../src/index.ts';
import { logChunks } from '../../src/serve/json-lines.ts';
import type { ReplaySource } from '../../src/types.ts';
import { airlineLines } from './airline.ts';
import { anyStep, closing, logOf, makeCache, simulatedClock } from './cache.ts';

type Recorded = Pick<AgentContextCache, 'readLog' | 'flush' | 'position'>;

/** Returns what `context-cache log` prints. */
export async function exported(cache: Recorded): Promise<string> {
  await cache.flush();
  let text = '';
  for await (const chunk of logChunks(cache as AgentContextCache, {})) text += chunk;
  return text;
}

/** The lines of an export. */
export function linesOf(text: string): string[] {
  return text.split('\n').filter(Boolean);
}

/** Returns everything for a comparison: the position, and every entry of every listed namespace. */
export function everythingOf(cache: AgentContextCache) {
  const byKey = (a: { key: string }, b: { key: string }) => (a.key < b.key ? -1 : 1);
  const namespaces = cache.listNamespaces().map((name) => [name, cache.entries(name).sort(byKey)] as const);
  return { position: cache.position, namespaces };
}

/** Replays with a clock that stands still, so that nothing expires, and shuts the cache down after the test. */
export async function replayed(source: ReplaySource, options: ReplayOptions = {}) {
  const result = await replay(source, { clock: simulatedClock(), ...options });
  closing(result.cache);
  return result;
}

/** Creates a cache with the recorded agent runs. Its log holds all of them. */
export async function airlineCache(): Promise<AgentContextCache> {
  const cache = closing(new AgentContextCache());
  for (const line of airlineLines()) cache.supervisor.send(JSON.parse(line));
  await cache.flush();
  return cache;
}

/** Generates the past of a cache: commands of all kinds, with time passing between them. */
export const anyPast = fc.array(anyStep, { minLength: 1, maxLength: 40 });

/** Creates a cache with this past, and returns it with its log. */
export async function cacheWith(past: readonly (typeof anyStep extends fc.Arbitrary<infer Step> ? Step : never)[]) {
  const { cache, clock } = makeCache();
  for (const step of past) {
    if ('wait' in step) clock.increment(step.wait);
    else await cache.ask(step).catch(() => undefined);
  }
  return { cache: cache as unknown as AgentContextCache, clock, updates: await logOf(cache) };
}

/** A small recorded log of 12 updates: three namespaces, every operation but `evict`. */
export async function smallCache() {
  const { cache, clock } = makeCache();
  await cache.set('a', { n: 1 }, 'x', { agent: 'planner' });
  await cache.set('b', 'two', 'y');
  await cache.set('a', [1, 2], 'x', { ttl: 50 });
  clock.increment(10);
  await cache.touch('a', 'x', { ttl: 100 });
  await cache.set('gone', null, 'z');
  await cache.delete('gone', 'z');
  await cache.dropNamespace('y');
  await cache.set('b', 'three', 'y');
  clock.increment(200);
  await cache.set('c', 'last', 'x');
  await cache.set('d', 'very last', 'z');
  await cache.clearNamespace('z');
  return { cache: cache as unknown as AgentContextCache, clock, updates: await logOf(cache) };
}
