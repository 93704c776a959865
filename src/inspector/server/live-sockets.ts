import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Clock } from '../../core/clock.ts';
import type { HttpGuard, Refusal } from '../../wire/http-guard.ts';
import { refuseUpgrade } from '../../wire/http-response.ts';
import { LIVE_PROTOCOL } from '../live-protocol.ts';
import { LiveConnection } from './live-connection.ts';
import type { Services } from './services.ts';

export const LIVE_PATH = '/api/live';
export const FOREIGN_PATH = '/api/foreign';

const MAX_MESSAGE_BYTES = 1024 * 1024;
/** Most connections, pages and producers together. */
const MAX_SOCKETS = 64;
const GOING_AWAY = 1001;
/** Longest wait for the other side to close, milliseconds. */
const GOODBYE_MS = 500;

/** The WebSockets of pages, and of producers that send actors of other programs. */
export class LiveSockets {
  readonly #services: Services;
  readonly #guard: HttpGuard;
  readonly #clock: Clock;
  readonly #server: WebSocketServer;
  #closing = false;

  constructor(services: Services, guard: HttpGuard, clock: Clock) {
    this.#services = services;
    this.#guard = guard;
    this.#clock = clock;
    this.#server = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_MESSAGE_BYTES,
      // The token arrives as a subprotocol too, and is not one to answer with.
      handleProtocols: (protocols) => (protocols.has(LIVE_PROTOCOL) ? LIVE_PROTOCOL : false),
    });
  }

  /** Upgrades the request to a WebSocket, or refuses it. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1');
    const refusal = this.#refusal(request, pathname, searchParams);
    if (refusal !== undefined) {
      refuseUpgrade(socket, refusal);
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on('error', () => webSocket.terminate());
      if (pathname === LIVE_PATH) this.#page(webSocket);
      else this.#producer(webSocket);
    });
  }

  /** Closes all connections. */
  async close(): Promise<void> {
    this.#closing = true;
    const sockets = [...this.#server.clients];
    const gone = sockets.map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())));
    for (const socket of sockets) socket.close(GOING_AWAY, 'The inspector is closing.');
    const timer = this.#clock.setTimeout(() => {
      for (const socket of sockets) socket.terminate();
    }, GOODBYE_MS);
    await Promise.all(gone);
    this.#clock.clearTimeout(timer);
    this.#server.close();
  }

  #refusal(request: IncomingMessage, path: string, query: URLSearchParams): Refusal | undefined {
    const stranger = this.#guard.stranger(request);
    if (stranger !== undefined) return stranger;
    if (path !== LIVE_PATH && path !== FOREIGN_PATH)
      return { status: 404, code: 'NOT_FOUND', message: 'There is no WebSocket at this path.' };
    // A page sends the token as a subprotocol; a producer has only an address to carry it.
    const token = path === LIVE_PATH ? tokenIn(request) : (query.get('token') ?? undefined);
    if (!this.#guard.holds(token)) {
      return { status: 401, code: 'UNAUTHORIZED', message: 'The token is missing or wrong.' };
    }
    // A page reconnects at once. Accepting it while closing would keep the port busy for ever.
    if (this.#closing) return { status: 503, code: 'CLOSED', message: 'The inspector is closing.' };
    const isFull = this.#server.clients.size >= MAX_SOCKETS;
    return isFull
      ? {
          status: 503,
          code: 'OVERLOADED',
          message: `More than ${MAX_SOCKETS} pages and producers are connected. Close some.`,
        }
      : undefined;
  }

  #page(socket: WebSocket): void {
    const { id: logId, head: position } = this.#services.cache.inspection.log;
    const connection = new LiveConnection({
      ...{ socket, clock: this.#clock, hello: { type: 'hello', logId, position } },
      feedOf: (subscription) => this.#services.feedOf(subscription),
    });
    socket.on('message', (data) => connection.receive(String(data)));
    socket.on('close', () => connection.close());
  }

  #producer(socket: WebSocket): void {
    const take = this.#services.foreign.producer();
    socket.on('message', (data) => take(String(data)));
  }
}

function tokenIn({ headers }: IncomingMessage): string | undefined {
  const protocols = (headers['sec-websocket-protocol'] ?? '').split(',').map((protocol) => protocol.trim());
  return protocols.find((protocol) => protocol.startsWith('token.'))?.slice('token.'.length);
}
