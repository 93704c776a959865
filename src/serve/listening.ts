import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, systemClock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { hostInUrl, LOOPBACK } from '../wire/address.ts';
import { AgentTokenFile, newToken } from '../wire/agent-tokens.ts';
import { type AgentTokens, HttpGuard, type Refusal, tokenDigest } from '../wire/http-guard.ts';
import { HttpListener } from '../wire/http-listener.ts';
import { checkParameters } from '../wire/http-query.ts';
import { refuse, refuseUpgrade, sendError } from '../wire/http-response.ts';
import { removeServeFile, type ServeFile, type SharedHolder, writeServeFile } from '../wire/serve-file.ts';
import { PING_MS } from '../wire/socket-protocol.ts';
import { ATTACH, ATTACH_PATH } from './attach-route.ts';
import { ROUTES, type Route } from './http-routes.ts';
import type { McpRoute } from './mcp-route.ts';
import type { ServedCache } from './served-cache.ts';
import { checkedServerOptions, type Limits, limitsOf, type ServerOptions } from './server-options.ts';
import type { SocketAcceptor } from './socket-acceptor.ts';

/** Connections beside those of clients: HTTP requests, and upgrades that are refused with a reason. */
const HTTP_CONNECTIONS = 256;
const BODY_TYPE = /^application\/(json|(x-)?ndjson)\s*(;|$)/i;
const FROM_FILE = 'serve.json in the data directory';
/** The answer while no cache is served. */
const NOT_SERVING: Refusal = {
  status: 503,
  code: 'UNREACHABLE',
  message: 'The cache is being opened or closed. Try again.',
};

/** The parts of a {@link Listening}. */
interface ListeningParts {
  readonly dataDir: string | undefined;
  readonly host: string;
  readonly clock: Clock;
  readonly listener: HttpListener;
  readonly guard: HttpGuard;
  readonly limits: Limits;
  readonly file: ServeFile;
  readonly Acceptor: typeof SocketAcceptor;
}

/**
 * The listener of a server. It may listen before its cache is open, so that others can tell a process that is opening a
 * large directory from one that hangs.
 */
export class Listening {
  /** Address for `connect`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly token: string;
  readonly #parts: ListeningParts;
  #cache: ServedCache | undefined;
  #mcp: McpRoute | undefined;
  #sockets: SocketAcceptor | undefined;
  #announced: Promise<void> | undefined;

  private constructor(parts: ListeningParts) {
    this.#parts = parts;
    const { host, listener, file } = parts;
    this.host = host;
    this.port = listener.port;
    this.token = file.token;
    this.url = `${file.tls ? 'https' : 'http'}://${hostInUrl(host)}:${this.port}`;
  }

  /** Starts to listen. Throws as `startServer` does. */
  static async open(dataDir: string | undefined, options: ServerOptions, shared?: SharedHolder): Promise<Listening> {
    const { host = LOOPBACK, port, hostNames, tls, clock = systemClock } = checkedServerOptions(options);
    const { token = newToken() } = options;
    const limits = limitsOf(options);
    // Loads `ws`, which a program without a server does not need.
    const { SocketAcceptor: Acceptor } = await import('./socket-acceptor.ts');
    let listening: Listening | undefined;
    const listener = await HttpListener.listen({
      ...{ host, port, tls, clock, maxConnections: limits.maxConnections + HTTP_CONNECTIONS },
      answer: async (request, response, signal) => listening?.answer(request, response, signal),
      upgrade: (request, socket, head) => {
        const sockets = listening?.sockets;
        if (sockets === undefined) refuseUpgrade(socket, NOT_SERVING);
        else sockets.upgrade(request, socket, head);
      },
    });
    const guard = new HttpGuard({
      ...{ host, hostNames, token, port: listener.port, isSecure: tls !== undefined },
      ...{ agentTokens: agentTokensOf(options, dataDir), from: dataDir === undefined ? 'the server' : FROM_FILE },
    });
    const file: ServeFile = {
      ...{ port: listener.port, token, pid: process.pid, version: 1 },
      ...(hostInUrl(host) === LOOPBACK ? {} : { host }),
      ...(tls === undefined ? {} : { tls: true }),
      ...(shared === undefined ? {} : { shared }),
    };
    listening = new Listening({ dataDir, host, clock, listener, guard, limits, file, Acceptor });
    return listening;
  }

  /** The connections of clients; `undefined` while no cache is served. */
  get sockets(): SocketAcceptor | undefined {
    return this.#sockets;
  }

  /** Answers for this cache from now on. */
  serve(cache: ServedCache, mcp?: McpRoute): void {
    const { clock, guard, limits, Acceptor } = this.#parts;
    this.#cache = cache;
    this.#mcp = mcp;
    this.#sockets = new Acceptor({ cache, clock, guard, limits, run: randomUUID() });
  }

  /** Writes `serve.json`, if there is a data directory. Rejects with `LOG_UNAVAILABLE` if that fails. */
  announce(): Promise<void> {
    const { dataDir, file } = this.#parts;
    this.#announced = dataDir === undefined ? Promise.resolve() : writeServeFile(dataDir, file);
    return this.#announced;
  }

  /** Takes no more requests for the cache, and disconnects its clients once they have the answers to running requests. */
  async leave(): Promise<void> {
    const sockets = this.#sockets;
    this.#cache = undefined;
    this.#sockets = undefined;
    await sockets?.close();
  }

  /** Leaves the cache, removes `serve.json`, and listens no more. */
  async close(): Promise<void> {
    // In this turn: from now on the cache refuses commands, and the connections must know that it is closing.
    const closed = [this.leave(), this.#parts.listener.close(), this.#forget()];
    await Promise.allSettled(closed);
    await Promise.all(closed);
  }

  /** @internal */
  async answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const cache = this.#cache;
    const { clock, guard } = this.#parts;
    if (cache === undefined) return refuse(response, NOT_SERVING.status, NOT_SERVING.code, NOT_SERVING.message);
    return route(guard, { cache, clock, clients: this.#sockets?.size ?? 0, request, response, signal }, this.#mcp);
  }

  async #forget(): Promise<void> {
    const { dataDir, file } = this.#parts;
    await this.#announced?.catch(() => {});
    if (dataDir !== undefined) await removeServeFile(dataDir, file);
  }
}

/** The tokens of agents: those of the options, and those of the data directory. */
function agentTokensOf({ agentTokens = {} }: ServerOptions, dataDir: string | undefined): () => AgentTokens {
  const given = new Map(Object.entries(agentTokens).map(([agent, token]) => [agent, tokenDigest(token)]));
  if (dataDir === undefined) return () => given;
  const file = new AgentTokenFile(dataDir);
  return () => (given.size === 0 ? file.tokens : new Map([...file.tokens, ...given]));
}

/** Path of {@link McpRoute}. */
const MCP_PATH = '/mcp';

interface Asked {
  readonly cache: ServedCache;
  readonly clock: Clock;
  readonly clients: number;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly signal: AbortSignal;
}

async function route(guard: HttpGuard, asked: Asked, mcp: McpRoute | undefined): Promise<void> {
  const { request, response } = asked;
  const admitted = guard.admit(request);
  if ('status' in admitted) return refuse(response, admitted.status, admitted.code, admitted.message);
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1');
  if (pathname === MCP_PATH && mcp !== undefined) return answerMcp(guard, asked, mcp, admitted.agent);
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
    const { agent } = admitted;
    const cache = agent === null ? asked.cache : asked.cache.forAgent(agent);
    await found.answer({ ...asked, cache, owner: asked.cache, agent, query: searchParams });
  } finally {
    stopChecking?.();
  }
}

async function answerMcp(guard: HttpGuard, asked: Asked, mcp: McpRoute, agent: string | null): Promise<void> {
  const { request, response, signal } = asked;
  const stopChecking = agent === null ? undefined : endWhenRevoked(guard, asked);
  // A stream to the client would delay the end of the server.
  const end = () => void response.end();
  signal.addEventListener('abort', end, { once: true });
  try {
    await mcp.answer(request, response, agent);
    if (!response.closed) await once(response, 'close');
  } finally {
    signal.removeEventListener('abort', end);
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
