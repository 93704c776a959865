import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AgentContextCache, type Clock, ContextCacheError, type SnapshotInfo, systemClock } from '../index.ts';
import { HttpGuard } from './http-guard.ts';
import { sendError, sendJson } from './http-response.ts';
import { ROUTES } from './http-routes.ts';

/** How a cache is served over HTTP. */
export interface HttpServerOptions {
  readonly cache: AgentContextCache;
  /** Default 0: a free one. */
  readonly port?: number | undefined;
  /** The snapshots that are stored. Default: none are. */
  readonly snapshots?: (() => Promise<SnapshotInfo[]>) | undefined;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
}

/** How long requests that are being answered may take to end when the server is closed. */
const CLOSE_MS = 2_000;
/** Of what a client sends although it has its answer, so much is read, so that the answer reaches it. */
const DISCARD_BYTES = 64 * 1024 * 1024;
const BODY_TYPE = /^application\/(json|(x-)?ndjson)\s*(;|$)/i;

/**
 * Serves a cache to other programs of the same user, on 127.0.0.1. Every request needs the token
 * (`Authorization: Bearer …`); bodies are JSON (`Content-Type: application/json`) or JSON lines
 * (`application/x-ndjson`). Nothing is logged.
 *
 * | request | answer |
 * |---|---|
 * | `POST /v1/command`, one command | `{"ok": answer}` (and `"found": false` for a key that is not there), or `{"error": {"code", "message"}}` with a fitting status |
 * | `POST /v1/apply`, a command a line; `?keepGoing`, `?acks=false` | `{"line", "position"}` for each once it is durable, `{"line", "error"}`, at the end `{"summary"}` |
 * | `GET /v1/dump`, `?namespace=&at=` (a position or an ISO time; so are `a` and `b`) | an entry a line |
 * | `GET /v1/history`, `?key=&namespace=` | a version of the entry a line, newest first |
 * | `GET /v1/diff`, `?a=&b=&namespace=` | an entry that was added, changed or removed a line |
 * | `GET /v1/log`, `?from=&to=&namespace=` | an update a line |
 * | `GET /v1/watch`, `?namespace=&key=&since=&snapshot` (several of the first two) | an update a line, as they come |
 * | `GET /v1/health` | how the cache is doing |
 * | `GET /v1/snapshots` | the stored snapshots |
 *
 * An error after the answer has begun is its last line.
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
  readonly #options: HttpServerOptions;
  readonly #server: Server;
  readonly #guard: HttpGuard;
  readonly #closing = new AbortController();
  readonly #answering = new Set<Promise<void>>();

  private constructor(options: HttpServerOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.token = randomBytes(32).toString('base64url');
    this.#guard = new HttpGuard(this.port, this.token);
    server.on('request', (request, response) => this.#take(request, response));
  }

  /**
   * Begins to serve.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` where the port is taken or may not be used.
   */
  static listen(options: HttpServerOptions): Promise<HttpServer> {
    const { port = 0 } = options;
    // A stream of commands takes as long as it takes.
    const server = createServer({ requestTimeout: 0 });
    return new Promise((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const message = `Port ${port} cannot be listened on (${cause.code}). Choose another, or none for a free one.`;
        reject(new ContextCacheError('INVALID_OPTION', message, { cause }));
      });
      server.listen(port, '127.0.0.1', () => resolve(new HttpServer(options, server)));
    });
  }

  /** Takes no more requests, ends streams, and waits a moment for what is being answered. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#closing.abort(new ContextCacheError('CLOSED', 'The server is being closed. Nothing more is taken.'));
    const { clock = systemClock } = this.#options;
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
      timer = clock.setTimeout(resolve, CLOSE_MS);
    });
    await Promise.race([Promise.all(this.#answering), late]);
    clock.clearTimeout(timer);
    this.#server.closeAllConnections();
    await closed;
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const answering = this.#answer(request, response).finally(() => this.#answering.delete(answering));
    this.#answering.add(answering);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const ended = new AbortController();
    const end = () =>
      ended.abort(this.#closing.signal.reason ?? new ContextCacheError('CLOSED', 'The client has gone.'));
    this.#closing.signal.addEventListener('abort', end);
    const gone = new Promise<void>((resolve) => response.once('close', resolve));
    response.once('close', end);
    response.on('error', end);
    request.on('error', end);
    try {
      if (this.#closing.signal.aborted) end();
      await this.#route(request, response, ended.signal);
    } catch (error) {
      sendError(response, error);
    } finally {
      this.#closing.signal.removeEventListener('abort', end);
    }
    discard(request);
    await gone;
  }

  async #route(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const refusal = this.#guard.refusal(request);
    if (refusal !== undefined) return refuse(response, refusal.status, refusal.code, refusal.message);
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    const route = ROUTES.get(url.pathname);
    if (route === undefined) {
      return refuse(
        response,
        404,
        'NOT_FOUND',
        `There is no ${url.pathname}; there are ${[...ROUTES.keys()].join(', ')}.`,
      );
    }
    if (request.method !== route.method) {
      response.setHeader('allow', route.method);
      return refuse(response, 405, 'INVALID_COMMAND', `${url.pathname} takes ${route.method}.`);
    }
    if (route.method === 'POST' && !BODY_TYPE.test(request.headers['content-type'] ?? '')) {
      return refuse(
        response,
        415,
        'INVALID_COMMAND',
        'Send "Content-Type: application/json" or "application/x-ndjson".',
      );
    }
    const { cache, snapshots = async () => [] } = this.#options;
    await route.answer({ cache, snapshots, request, response, query: url.searchParams, signal });
  }
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  sendJson(response, status, { error: { code, message } });
}

/** Reads on and forgets: closing a connection with unread bytes would take back the answer. */
function discard(request: IncomingMessage): void {
  if (request.readableEnded || request.destroyed) return;
  let bytes = 0;
  request.on('data', (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > DISCARD_BYTES) request.destroy();
  });
  request.resume();
}
