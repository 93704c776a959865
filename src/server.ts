export { type CacheServer, type StartServerOptions, startServer } from './serve/cache-server.ts';
export type { ServerLimits, ServerOptions } from './serve/server-options.ts';
