import {
  AgentContextCache,
  type AnyNamespaces,
  type BaseContextCache,
  type InMemoryContextCache,
  type OpenOptions,
} from '../../src/index.ts';
import { closing, type Failure, simulatedClock } from './cache.ts';

export const NAMESPACES = ['n', 'm', '__proto__', 'a:b', 'default'];

/** Returns everything that a reopened cache must still have. */
export function stateOf(cache: AgentContextCache) {
  return {
    position: cache.position,
    namespaces: cache.listNamespaces(),
    entries: NAMESPACES.map((name) => cache.entries(name).sort((a, b) => (a.key < b.key ? -1 : 1))),
  };
}

/** A cache on a directory, on simulated time, that does not wait for the disk. */
export async function open<P extends BaseContextCache = InMemoryContextCache>(options: OpenOptions<P> = {}) {
  const clock = simulatedClock();
  const failures: Failure[] = [];
  const cache = closing(
    await AgentContextCache.open<AnyNamespaces, P>({
      clock,
      sync: false,
      natsUrl: null,
      onError: (error, source) => void failures.push({ error, source }),
      ...options,
    }),
  );
  return { cache, clock, failures };
}
