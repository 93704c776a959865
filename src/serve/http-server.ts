import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { SnapshotInfo } from '../backup.ts';
import type { AgentContextCache, Clock } from '../index.ts';
import { HttpGuard } from '../wire/http-guard.ts';
import { HttpListener } from '../wire/http-listener.ts';
import { checkParameters } from '../wire/http-query.ts';
import { refuse } from '../wire/http-response.ts';
import { ROUTES, type Route } from './http-routes.ts';

/** Options of {@link HttpServer.listen}. */
export interface HttpServerOptions {
  readonly cache: AgentContextCache;
  /** Default 0: a free one. */
  readonly port?: number | undefined;
  /** Lists the stored snapshots. Default: none. */
  readonly snapshots?: (() => Promise<SnapshotInfo[]>) | undefined;
  /** Further handlers by path. Default: none. */
  readonly routes?: ReadonlyMap<string, Route> | undefined;
  /** Default: the system clock. */
  readonly clock?: Clock | undefined;
}

const BODY_TYPE = /^application\/(json|(x-)?ndjson)\s*(;|$)/i;

/**
 * Serves a cache to other programs of the same user, on 127.0.0.1. Every request needs the token
 * (`Authorization: Bearer …`); bodies are JSON (`Content-Type: application/json`) or JSON lines
 * (`application/x-ndjson`). Nothing is logged.
 *
 * | request | answer |
 * |---|---|
 * | `POST /v1/command`, one command | `{"ok": answer}` (and `"found": false` for a missing key), or `{"error": {"code", "message"}}` with a matching status |
 * | `POST /v1/apply`, a command per line; `?keepGoing`, `?acks=false` | `{"line", "position"}` for each when it is durable, `{"line", "error"}`, at the end `{"summary"}` |
 * | `GET /v1/dump`, `?namespace=&at=` (a position or an ISO time, as are `a` and `b`) | an entry per line |
 * | `GET /v1/history`, `?key=&namespace=` | a version of the entry per line, newest first |
 * | `GET /v1/diff`, `?a=&b=&namespace=` | an added, changed or removed entry per line |
 * | `GET /v1/log`, `?from=&to=&namespace=` | an update per line |
 * | `GET /v1/watch`, `?namespace=&key=&since=&snapshot` (the first two may be repeated) | an update per line, as they happen |
 * | `GET /v1/health` | the health of the cache |
 * | `GET /v1/snapshots` | the stored snapshots |
 *
 * A parameter that the address does not take is refused with status 400. An error after the start of the answer is its
 * last line.
 *
 * @example
 * ```ts
 * const server = await HttpServer.listen({ cache });
 * await fetch(`http://127.0.0.1:${server.port}/v1/command`, {
 *   method: 'POST',
 *   headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' },
 *   body: JSON.stringify({ type: 'context.set', key: 'plan', value: ['search', 'book'] }),
 * });
 * ```
 */
export class HttpServer {
  readonly port: number;
  /** 32 random bytes. */
  readonly token: string;
  readonly #listener: HttpListener;

  private constructor(listener: HttpListener, token: string) {
    this.port = listener.port;
    this.token = token;
    this.#listener = listener;
  }

  /**
   * Starts to serve.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` if the port is taken or not permitted.
   */
  static async listen(options: HttpServerOptions): Promise<HttpServer> {
    const { port, clock } = options;
    const token = randomBytes(32).toString('base64url');
    let guard: HttpGuard | undefined;
    const listener = await HttpListener.listen({
      port,
      clock,
      answer: async (request, response, signal) => {
        guard ??= new HttpGuard({ port: listener.port, token, from: 'serve.json in the data directory' });
        await route(options, guard, { request, response, signal });
      },
    });
    return new HttpServer(listener, token);
  }

  /** Takes no more requests, ends streams, and waits up to 2 s for running requests. */
  close(): Promise<void> {
    return this.#listener.close();
  }
}

interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly signal: AbortSignal;
}

async function route(options: HttpServerOptions, guard: HttpGuard, asked: Asked): Promise<void> {
  const { cache, snapshots = async () => [], routes } = options;
  const { request, response } = asked;
  const refusal = guard.refusal(request);
  if (refusal !== undefined) return refuse(response, refusal.status, refusal.code, refusal.message);
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1');
  const found = ROUTES.get(pathname) ?? routes?.get(pathname);
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
  await found.answer({ ...asked, cache, snapshots, query: searchParams });
}
