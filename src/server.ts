export { type CacheServer, type StartServerOptions, startServer } from './serve/cache-server.ts';
export type { McpAnswers, McpRoute } from './serve/mcp-route.ts';
export type { ServerLimits, ServerOptions } from './serve/server-options.ts';
