import { optionNames } from '../core/options.ts';
import { type AgentContextCache, ContextCacheError } from '../index.ts';
import { checkedMcpOptions, MCP_OPTIONS } from '../integrations/mcp-options.ts';
import type { McpOptions } from '../mcp.ts';
import { LazyMcp } from './lazy-mcp.ts';
import { Listening } from './listening.ts';
import { SERVER_NAMES, type ServerOptions } from './server-options.ts';

/** Options of {@link startServer}. */
export interface StartServerOptions extends ServerOptions {
  /** Options of the MCP server at `/mcp`, as of `createMcpServer`. Its packages are loaded with the first request. */
  readonly mcp?: McpOptions | undefined;
}

const OPTIONS = optionNames<StartServerOptions>('startServer', { ...SERVER_NAMES, mcp: MCP_OPTIONS });

/**
 * Serves a cache to other processes: `connect` in JavaScript, the command line, and HTTP for all other programs. If the cache
 * has a data directory, its `serve.json` says where, so that programs of the same user need only the directory.
 *
 * Every request needs the token. Clients are connected by a WebSocket at `/v1/connect` (`docs/formats.md` has the frames).
 * HTTP requests send `Authorization: Bearer …`; their bodies are JSON (`Content-Type: application/json`) or JSON lines
 * (`application/x-ndjson`):
 *
 * | request | answer |
 * |---|---|
 * | `POST /v1/command`, one command | `{"ok": answer}` (and `"found": false` for a missing key), or `{"error": {"code", "message"}}` with a matching status |
 * | `POST /v1/apply`, a command per line; `?keepGoing`, `?acks=false` | `{"line", "position"}` for each when it is durable, `{"line", "error"}`, at the end `{"summary"}` |
 * | `GET /v1/dump`, `?namespace=&at=` (a position or an ISO time, as are `a` and `b`) | an entry per line |
 * | `GET /v1/history`, `?key=&namespace=` | a version of the entry per line, newest first |
 * | `GET /v1/diff`, `?a=&b=&namespace=` | an added, changed or removed entry per line |
 * | `GET /v1/log`, `?from=&to=&namespace=` | an update per line |
 * | `GET /v1/changes`, `?since=&namespace=` or `&prefix=`, `&limit=` | `{"changes", "next", "more"}`: the last update of each key changed since a position |
 * | `GET /v1/watch`, `?namespace=&key=&namespacePrefix=&keyPrefix=&since=&snapshot` (the first two may be repeated) | an update per line, as they happen |
 * | `GET /v1/health` | the health of the cache |
 * | `GET /metrics`, `?namespaces=` (how many may have figures of their own) | figures in the text format of Prometheus |
 * | `GET /v1/snapshots` | the stored snapshots |
 * | `POST`, `GET`, `DELETE /mcp` | Streamable HTTP of the Model Context Protocol, if its packages are installed |
 *
 * A parameter that the address does not take is refused with status 400. An error after the start of the answer is its
 * last line. Nothing is logged.
 *
 * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`, also if the port is taken; `CLOSED` if the cache is shut
 *   down; `LOG_UNAVAILABLE` if `serve.json` cannot be written.
 *
 * @example
 * ```ts
 * await using server = await startServer(cache);
 * await using remote = await connect(server.url, { token: server.token });
 * await remote.set('plan', ['search', 'book'], 'trip');
 * ```
 */
export async function startServer(cache: AgentContextCache, options: StartServerOptions = {}): Promise<CacheServer> {
  const { mcp = {}, ...given } = OPTIONS.checked(options);
  checkedMcpOptions(cache, mcp, MCP_OPTIONS);
  const { dataDir, log } = cache.inspection;
  if (log.status === 'closed') throw new ContextCacheError('CLOSED', 'The cache is shut down. Serve an open one.');
  const listening = await Listening.open(dataDir, given);
  const server = new CacheServer(cache, listening, mcp);
  try {
    await listening.announce();
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

/** A running server. Closes with the cache. */
export class CacheServer {
  /** Address for `connect`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Token of clients that name the writer of each command themselves. */
  readonly token: string;
  readonly #listening: Listening;
  readonly #mcp: LazyMcp;
  readonly #stopListening: () => void;
  #closed: Promise<void> | undefined;

  /** @internal */
  constructor(cache: AgentContextCache, listening: Listening, mcp: McpOptions) {
    this.#listening = listening;
    this.url = listening.url;
    this.host = listening.host;
    this.port = listening.port;
    this.token = listening.token;
    this.#mcp = new LazyMcp(async () => (await import('../mcp.ts')).createMcpHttp(cache, mcp));
    listening.serve(cache, this.#mcp);
    this.#stopListening = cache.inspection.onShutdown(() => this.close());
  }

  /** Number of connected clients. */
  get clients(): number {
    return this.#listening.sockets?.size ?? 0;
  }

  /** Takes no more requests, ends streams, waits up to 2 s for running requests, and disconnects the clients. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#stopListening();
    await Promise.all([this.#listening.close(), this.#mcp.close()]);
  }
}
