import { type ConnectOptions, connect, type RemoteContextCache } from '../../src/client.ts';
import { AgentContextCache, type CacheOptions } from '../../src/index.ts';
import { type CacheServer, type ServerOptions, startServer } from '../../src/server.ts';
import { FaultProxy } from '../faults/proxy.ts';
import { freePort } from './server-process.ts';

/** A served cache in memory, and a client whose connection goes through a proxy that can cut it. */
export interface Served extends AsyncDisposable {
  readonly cache: AgentContextCache;
  readonly server: CacheServer;
  readonly proxy: FaultProxy;
  readonly remote: RemoteContextCache;
  /** Errors that the client's `onError` was called with. */
  readonly errors: Error[];
}

/** Settings of {@link serveThroughProxy}. */
export interface ServedSettings {
  readonly cache?: AgentContextCache;
  readonly cacheOptions?: CacheOptions;
  readonly server?: ServerOptions;
  readonly client?: ConnectOptions;
}

/** Serves a cache on loopback and connects a client through a proxy. */
export async function serveThroughProxy(settings: ServedSettings = {}): Promise<Served> {
  const { cache = new AgentContextCache({ natsUrl: null, onError: () => {}, ...settings.cacheOptions }) } = settings;
  // The server must know the name that the proxy is reached by, and the proxy the port of the server.
  const proxy = await FaultProxy.to(await freePort());
  const hostNames = [`127.0.0.1:${proxy.port}`];
  const server = await startServer(cache, { port: proxy.target, hostNames, ...settings.server });
  const errors: Error[] = [];
  const remote = await connect(`http://127.0.0.1:${proxy.port}`, {
    token: server.token,
    onError: (error) => errors.push(error),
    ...settings.client,
  });
  return {
    ...{ cache, server, proxy, remote, errors },
    async [Symbol.asyncDispose]() {
      await remote.shutdown({ timeoutMs: 0 });
      await server.close();
      await cache.shutdown({ timeoutMs: 0 });
      await proxy[Symbol.asyncDispose]();
    },
  };
}
