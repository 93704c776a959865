import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AgentContextCache, type Clock, ContextCacheError, systemClock } from '../index.ts';
import { hostInUrl, LOOPBACK } from '../wire/address.ts';
import { AgentTokenFile, newToken } from '../wire/agent-tokens.ts';
import { type AgentTokens, HttpGuard, tokenDigest } from '../wire/http-guard.ts';
import { HttpListener } from '../wire/http-listener.ts';
import { checkParameters } from '../wire/http-query.ts';
import { refuse, sendError } from '../wire/http-response.ts';
import { removeServeFile, type ServeFile, writeServeFile } from '../wire/serve-file.ts';
import { PING_MS } from '../wire/socket-protocol.ts';
import { ATTACH, ATTACH_PATH } from './attach-route.ts';
import { ROUTES, type Route } from './http-routes.ts';
import { checkedServerOptions, limitsOf, type ServerOptions } from './server-options.ts';
import { SocketAcceptor } from './socket-acceptor.ts';

/** Connections beside those of clients: HTTP requests, and upgrades that are refused with a reason. */
const HTTP_CONNECTIONS = 256;
const BODY_TYPE = /^application\/(json|(x-)?ndjson)\s*(;|$)/i;

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
 * | `GET /v1/watch`, `?namespace=&key=&namespacePrefix=&keyPrefix=&since=&snapshot` (the first two may be repeated) | an update per line, as they happen |
 * | `GET /v1/health` | the health of the cache |
 * | `GET /metrics`, `?namespaces=` (how many may have figures of their own) | figures in the text format of Prometheus |
 * | `GET /v1/snapshots` | the stored snapshots |
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
export async function startServer(cache: AgentContextCache, options: ServerOptions = {}): Promise<CacheServer> {
  const { host = LOOPBACK, port, hostNames, tls, clock = systemClock } = checkedServerOptions(options);
  const { token = newToken() } = options;
  const { dataDir, log } = cache.inspection;
  if (log.status === 'closed') throw new ContextCacheError('CLOSED', 'The cache is shut down. Serve an open one.');
  const limits = limitsOf(options);
  const parts: { guard?: HttpGuard; sockets?: SocketAcceptor } = {};
  const listener = await HttpListener.listen({
    ...{ host, port, tls, clock, maxConnections: limits.maxConnections + HTTP_CONNECTIONS },
    answer: async (request, response, signal) => {
      if (parts.guard !== undefined) await route(parts.guard, { cache, clock, request, response, signal });
    },
    upgrade: (request, socket, head) => parts.sockets?.upgrade(request, socket, head),
  });
  const guard = new HttpGuard({
    ...{ host, hostNames, token, port: listener.port, isSecure: tls !== undefined },
    ...{ agentTokens: agentTokensOf(options, dataDir), from: dataDir === undefined ? 'the server' : FROM_FILE },
  });
  const sockets = new SocketAcceptor({ cache, clock, guard, limits, run: randomUUID() });
  Object.assign(parts, { guard, sockets });
  const file: ServeFile = { port: listener.port, token, pid: process.pid, version: 1 };
  const announced = {
    ...file,
    ...(hostInUrl(host) === LOOPBACK ? {} : { host }),
    ...(tls === undefined ? {} : { tls: true }),
  };
  try {
    if (dataDir !== undefined) await writeServeFile(dataDir, announced);
  } catch (error) {
    await Promise.all([sockets.close(), listener.close()]);
    throw error;
  }
  const forget = () => (dataDir === undefined ? Promise.resolve() : removeServeFile(dataDir, announced));
  return new CacheServer(cache, { host, token, isSecure: tls !== undefined, listener, sockets, forget });
}

const FROM_FILE = 'serve.json in the data directory';

interface CacheServerParts {
  readonly host: string;
  readonly token: string;
  readonly isSecure: boolean;
  readonly listener: HttpListener;
  readonly sockets: SocketAcceptor;
  /** Removes `serve.json`. */
  readonly forget: () => Promise<void>;
}

/** A running server. Closes with the cache. */
export class CacheServer {
  /** Address for `connect`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Token of clients that name the writer of each command themselves. */
  readonly token: string;
  readonly #parts: CacheServerParts;
  readonly #stopListening: () => void;
  #closed: Promise<void> | undefined;

  /** @internal */
  constructor(cache: AgentContextCache, parts: CacheServerParts) {
    const { host, token, isSecure, listener } = parts;
    this.#parts = parts;
    this.host = host;
    this.port = listener.port;
    this.token = token;
    this.url = `${isSecure ? 'https' : 'http'}://${hostInUrl(host)}:${this.port}`;
    this.#stopListening = cache.inspection.onShutdown(() => this.close());
  }

  /** Number of connected clients. */
  get clients(): number {
    return this.#parts.sockets.size;
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
    const { forget, sockets, listener } = this.#parts;
    // In this turn: from now on the cache refuses commands, and the connections must know that it is closing.
    const closed = [sockets.close(), listener.close(), forget()];
    await Promise.allSettled(closed);
    await Promise.all(closed);
  }
}

/** The tokens of agents: those of the options, and those of the data directory. */
function agentTokensOf({ agentTokens = {} }: ServerOptions, dataDir: string | undefined): () => AgentTokens {
  const given = new Map(Object.entries(agentTokens).map(([agent, token]) => [agent, tokenDigest(token)]));
  if (dataDir === undefined) return () => given;
  const file = new AgentTokenFile(dataDir);
  return () => (given.size === 0 ? file.tokens : new Map([...file.tokens, ...given]));
}

interface Asked {
  readonly cache: AgentContextCache;
  readonly clock: Clock;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly signal: AbortSignal;
}

async function route(guard: HttpGuard, asked: Asked): Promise<void> {
  const { request, response } = asked;
  const admitted = guard.admit(request);
  if ('status' in admitted) return refuse(response, admitted.status, admitted.code, admitted.message);
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1');
  const found: Route | undefined = pathname === ATTACH_PATH ? ATTACH : ROUTES.get(pathname);
  if (found === undefined) {
    const there = [...ROUTES.keys()].join(', ');
    return refuse(response, 404, 'NOT_FOUND', `There is no ${pathname}. Use one of ${there}.`);
  }
  if (request.method !== found.method) {
    response.setHeader('allow', found.method);
    return refuse(response, 405, 'INVALID_COMMAND', `${pathname} takes ${found.method}.`);
  }
  if (found.method === 'POST' && !BODY_TYPE.test(request.headers['content-type'] ?? '')) {
    const message = 'Send "Content-Type: application/json" or "application/x-ndjson".';
    return refuse(response, 415, 'INVALID_COMMAND', message);
  }
  checkParameters(searchParams, pathname, found.parameters ?? []);
  const stopChecking = admitted.agent === null ? undefined : endWhenRevoked(guard, asked);
  try {
    await found.answer({ ...asked, agent: admitted.agent, query: searchParams });
  } finally {
    stopChecking?.();
  }
}

/** Ends the answer to a request whose token is revoked while it runs. Returns a function that stops checking. */
function endWhenRevoked(guard: HttpGuard, { clock, request, response }: Asked): () => void {
  let timer: unknown;
  const check = () => {
    timer = clock.setTimeout(check, PING_MS);
    clock.unref?.(timer);
    if (!('status' in guard.admit(request))) return;
    // A client that does not read would delay the end.
    if (response.writableEnded) response.destroy();
    else sendError(response, new ContextCacheError('UNAUTHORIZED', 'The token has been revoked.'));
  };
  timer = clock.setTimeout(check, PING_MS);
  clock.unref?.(timer);
  return () => clock.clearTimeout(timer);
}
