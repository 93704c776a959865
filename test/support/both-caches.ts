import { connect } from '../../src/client.ts';
import { AgentContextCache, type CacheOptions, type ContextStore } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';

/** A cache in memory, and the way a test reaches it. */
export interface Reached extends AsyncDisposable {
  readonly cache: AgentContextCache;
  /** The cache itself, or a client of it. */
  readonly store: ContextStore;
}

async function local(options: CacheOptions = {}): Promise<Reached> {
  const cache = new AgentContextCache({ natsUrl: null, onError: () => {}, ...options });
  return { cache, store: cache, [Symbol.asyncDispose]: async () => void (await cache.shutdown({ timeoutMs: 0 })) };
}

async function remote(options: CacheOptions = {}): Promise<Reached> {
  const { cache, ...opened } = await local(options);
  const server = await startServer(cache);
  const client = await connect(server.url, { token: server.token, onError: () => {} });
  return {
    cache,
    store: client,
    async [Symbol.asyncDispose]() {
      await client.shutdown({ timeoutMs: 0 });
      await server.close();
      await opened[Symbol.asyncDispose]();
    },
  };
}

/** Both ways to a cache, for `describe.each(BOTH_CACHES)('over a %s cache', (_, open) => …)`. */
export const BOTH_CACHES = [
  ['local', local],
  ['remote', remote],
] as const;
