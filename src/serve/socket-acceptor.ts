import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Clock } from '../core/clock.ts';
import type { Bearer, HttpGuard, Refusal } from '../wire/http-guard.ts';
import { refuseUpgrade } from '../wire/http-response.ts';
import { CLOSE, type Hello, PING_MS, SOCKET_PATH, SOCKET_PROTOCOL } from '../wire/socket-protocol.ts';
import type { ServedCache } from './served-cache.ts';
import type { Limits } from './server-options.ts';
import { SocketConnection } from './socket-connection.ts';

/** Longest wait for running requests and for clients to close, milliseconds. */
const CLOSE_MS = 2_000;

/** The parts of {@link SocketAcceptor}. */
export interface SocketAcceptorOptions {
  readonly cache: ServedCache;
  readonly clock: Clock;
  readonly guard: HttpGuard;
  readonly limits: Limits;
  /** Identifies this run of the server. */
  readonly run: string;
}

interface Accepted {
  readonly socket: WebSocket;
  readonly connection: SocketConnection;
  readonly token: string;
}

/** The connections of clients. */
export class SocketAcceptor {
  readonly #options: SocketAcceptorOptions;
  readonly #server: WebSocketServer;
  readonly #accepted = new Set<Accepted>();
  #timer: unknown;
  #isClosing = false;

  constructor(options: SocketAcceptorOptions) {
    this.#options = options;
    const { maxMessageBytes } = options.limits;
    this.#server = new WebSocketServer({ noServer: true, maxPayload: maxMessageBytes, perMessageDeflate: false });
  }

  /** Number of connected clients. */
  get size(): number {
    return this.#accepted.size;
  }

  /** Upgrades the request to a WebSocket, or refuses it. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const admitted = this.#admit(request);
    if ('status' in admitted) {
      refuseUpgrade(socket, admitted);
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      request.socket.setNoDelay(true);
      this.#accept(webSocket, admitted, tokenOf(request));
    });
  }

  /** Takes no more requests, waits up to 2 s for those that are being executed, and closes all connections. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    const ended = Promise.all([...this.#accepted].map(({ connection }) => connection.end()));
    const timer = clock.setTimeout(() => {
      for (const { socket } of this.#accepted) socket.terminate();
    }, CLOSE_MS);
    await ended;
    clock.clearTimeout(timer);
    this.#server.close();
  }

  #admit(request: IncomingMessage): Bearer | Refusal {
    const { guard, limits } = this.#options;
    const admitted = guard.admit(request);
    if ('status' in admitted) return admitted;
    const { pathname } = new URL(request.url ?? '/', 'http://127.0.0.1');
    if (pathname !== SOCKET_PATH) {
      const message = `There is no WebSocket at this path. Use ${SOCKET_PATH}.`;
      return { status: 404, code: 'NOT_FOUND', message };
    }
    if (this.#isClosing) return { status: 503, code: 'CLOSED', message: 'The server is closing.' };
    if (this.#accepted.size < limits.maxConnections) return admitted;
    const message = `${limits.maxConnections} clients are connected. Close some, or raise limits.maxConnections.`;
    return { status: 503, code: 'OVERLOADED', message };
  }

  #accept(socket: WebSocket, { agent }: Bearer, token: string): void {
    const { cache, clock, limits } = this.#options;
    const { requestTimeoutMs } = limits;
    const connection = new SocketConnection({ socket, cache, clock, hello: this.#hello(agent), requestTimeoutMs });
    const accepted = { socket, connection, token };
    this.#accepted.add(accepted);
    socket.on('close', () => this.#accepted.delete(accepted));
    if (this.#timer === undefined) this.#beatLater();
  }

  #hello(agent: string | null): Hello {
    const { cache, limits, run } = this.#options;
    const { id, committed } = cache.inspection.log;
    const { maxDepth, maxBytes, maxKeyBytes } = cache.inspection.limits;
    return {
      ...{ protocol: SOCKET_PROTOCOL, server: run, log: id, position: committed, agent },
      limits: { inFlight: limits.maxInFlight, messageBytes: limits.maxMessageBytes, maxDepth, maxBytes, maxKeyBytes },
    };
  }

  #beatLater(): void {
    const { clock } = this.#options;
    this.#timer = clock.setTimeout(() => this.#beat(), PING_MS);
    clock.unref?.(this.#timer);
  }

  #beat(): void {
    this.#timer = undefined;
    for (const { socket, connection, token } of this.#accepted) {
      if (this.#options.guard.bearer(token) !== undefined) {
        connection.beat();
        continue;
      }
      // A token that was revoked or replaced ends its connections. Closing alone asks the client, which may go on.
      connection.close();
      socket.close(CLOSE.unauthorized, 'The token is not valid.');
    }
    if (this.#accepted.size > 0) this.#beatLater();
  }
}

function tokenOf({ headers }: IncomingMessage): string {
  return (headers.authorization ?? '').replace(/^Bearer /i, '');
}
