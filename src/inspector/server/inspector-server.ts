import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { VersionConflictError } from '../../core/conflict.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { Inspector, InspectorOptions } from '../../engine/inspector-options.ts';
import { hostInUrl, LOOPBACK } from '../../wire/address.ts';
import { newToken } from '../../wire/agent-tokens.ts';
import { HttpGuard } from '../../wire/http-guard.ts';
import { HttpListener } from '../../wire/http-listener.ts';
import { checkFields, checkParameters, readJson } from '../../wire/http-query.ts';
import { refuse, sendJson } from '../../wire/http-response.ts';
import { statusOf, wireError } from '../../wire/wire-error.ts';
import { ActorSender } from '../feeds/actor-sender.ts';
import type { Inspectable } from '../inspectable.ts';
import type { Branch, ErrorAnswer } from '../protocol.ts';
import { isAsset, sendAsset } from './assets.ts';
import { FOREIGN_PATH, LIVE_PATH, LiveSockets } from './live-sockets.ts';
import { PARAMETERS, ROUTES, type RouteRequest, WRITES } from './routes.ts';
import { Services } from './services.ts';

const TOKEN = /^[A-Za-z0-9_-]{16,}$/;
/** Most branches open at the same time. */
const MAX_BRANCHES = 4;
const JSON_BODY = /^application\/json\s*(;|$)/i;

/** Serves the page, its data as JSON, and live updates over a WebSocket; see `protocol.ts`. */
export class InspectorServer implements Inspector {
  readonly port: number;
  readonly token: string;
  readonly url: string;
  readonly #options: InspectorOptions;
  readonly #listener: HttpListener;
  readonly #guard: HttpGuard;
  readonly #services: Services;
  readonly #sockets: LiveSockets;
  readonly #sender: ActorSender | undefined;
  readonly #stopListening: () => void;
  readonly #branches = new Set<{ readonly cache: Inspectable; readonly inspector: Inspector }>();
  #forking = 0;
  #closed: Promise<void> | undefined;

  private constructor(cache: Inspectable, options: InspectorOptions, listener: HttpListener, token: string) {
    const { host = LOOPBACK, sendTo } = options;
    const { clock } = cache.inspection;
    this.#options = options;
    this.#listener = listener;
    this.port = listener.port;
    this.token = token;
    this.url = `http://${hostInUrl(host)}:${this.port}/#token=${token}`;
    this.#guard = new HttpGuard({ port: this.port, host, token, from: 'the address that was printed' });
    this.#services = new Services(cache, options);
    this.#sockets = new LiveSockets(this.#services, this.#guard, clock);
    this.#sender = sendTo === undefined ? undefined : new ActorSender(cache, clock, this.#services.redactor, sendTo);
    this.#stopListening = cache.inspection.onShutdown(() => this.close());
  }

  /** Starts an inspector; see `startInspector`. */
  static async start(cache: Inspectable, options: InspectorOptions): Promise<InspectorServer> {
    const { port, host = LOOPBACK, token = newToken() } = options;
    if (!TOKEN.test(token)) {
      throw new ContextCacheError('INVALID_OPTION', 'token needs at least 16 characters of A-Z, a-z, 0-9, - and _.');
    }
    if (cache.inspection.log.status === 'closed') throw new ContextCacheError('CLOSED', 'The cache is shut down.');
    let server: InspectorServer | undefined;
    const { clock } = cache.inspection;
    const listener = await HttpListener.listen({
      ...{ port, host, clock },
      answer: async (request, response, signal) => server?.answer(request, response, signal),
      upgrade: (request, socket, head) => server?.upgrade(request, socket, head),
    });
    try {
      server = new InspectorServer(cache, options, listener, token);
    } catch (error) {
      await listener.close();
      throw error;
    }
    options.onListening?.(server.url);
    return server;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#sockets.upgrade(request, socket, head);
  }

  /** @internal */
  async answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    try {
      await this.#answer(request, response, signal);
    } catch (error) {
      if (response.destroyed) return;
      const body = this.#errorAnswer(error);
      sendJson(response, statusOf(body.error), body);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const stranger = this.#guard.stranger(request);
    if (stranger !== undefined) return refuse(response, stranger.status, stranger.code, stranger.message);
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1');
    if (isAsset(pathname)) return sendAsset(request, response, pathname);
    const refusal = this.#guard.refusal(request);
    if (refusal !== undefined) return refuse(response, refusal.status, refusal.code, refusal.message);
    const address = `${request.method} ${pathname}`;
    if (!Object.hasOwn(ROUTES, address)) return refuseAddress(response, pathname);
    const { allowWrite = false } = this.#options;
    if (WRITES.has(address) && !allowWrite) {
      const message =
        'This inspector is read-only. To change anything, start it with --allow-write, or allowWrite in code.';
      return refuse(response, 403, 'FORBIDDEN', message);
    }
    const known = PARAMETERS[address as keyof typeof ROUTES];
    const isPost = request.method === 'POST';
    checkParameters(searchParams, pathname, isPost ? [] : known);
    const body = isPost ? await bodyOf(request) : {};
    checkFields(body, pathname, known);
    const route = ROUTES[address as keyof typeof ROUTES] as (request: RouteRequest) => unknown;
    const answer = await route({
      ...{ services: this.#services, query: searchParams, body, allowWrite, signal },
      foreignUrl: `ws://${request.headers.host}${FOREIGN_PATH}?token=${this.token}`,
      fork: (at) => this.#fork(at),
    });
    sendJson(response, 200, answer);
  }

  /** Returns the body for an error. The current entry of a conflict is redacted like every other value. */
  #errorAnswer(error: unknown): ErrorAnswer {
    const { code, message } = wireError(error);
    if (!(error instanceof VersionConflictError)) return { error: { code, message } };
    const { current } = error;
    return {
      error: { code, message, current: current === undefined ? null : this.#services.presenter.entry(current) },
    };
  }

  async #fork(at: number): Promise<Branch> {
    if (this.#branches.size + this.#forking >= MAX_BRANCHES) {
      const message = `${MAX_BRANCHES} branches are open, which is the limit. Restart the inspector to close them.`;
      throw new ContextCacheError('OVERLOADED', message);
    }
    this.#forking += 1;
    try {
      const { redact, host } = this.#options;
      const cache = await this.#services.cache.fork({ at });
      const inspector = await InspectorServer.start(cache, { redact, host, allowWrite: true });
      this.#branches.add({ cache, inspector });
      return { url: inspector.url, position: at };
    } finally {
      this.#forking -= 1;
    }
  }

  async #close(): Promise<void> {
    this.#stopListening();
    this.#sender?.close();
    this.#services.close();
    await this.#sockets.close();
    await this.#listener.close();
    // Branches read from the cache, so they end first.
    await Promise.all([...this.#branches].map(({ cache }) => cache.shutdown()));
  }
}

async function bodyOf(request: IncomingMessage): Promise<RouteRequest['body']> {
  if (!JSON_BODY.test(request.headers['content-type'] ?? '')) {
    throw new ContextCacheError('INVALID_COMMAND', 'Send "Content-Type: application/json".');
  }
  const body = await readJson(request);
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as RouteRequest['body'];
  throw new ContextCacheError('INVALID_COMMAND', 'The body must be one JSON object.');
}

function refuseAddress(response: ServerResponse, pathname: string): void {
  const allowed = ['GET', 'POST'].filter((method) => Object.hasOwn(ROUTES, `${method} ${pathname}`)).join(', ');
  if (allowed === '') {
    const message = `There is no ${pathname}. docs/inspector.md lists the addresses; ${LIVE_PATH} is a WebSocket.`;
    refuse(response, 404, 'NOT_FOUND', message);
  } else {
    response.setHeader('allow', allowed);
    refuse(response, 405, 'INVALID_COMMAND', `${pathname} takes ${allowed}.`);
  }
}
