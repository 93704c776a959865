import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { sendError } from './http-response.ts';

/** How requests are listened for. */
export interface HttpListenerOptions {
  /** Default 0: a free one. */
  readonly port?: number | undefined;
  /** Default `127.0.0.1`. */
  readonly host?: string | undefined;
  /** Answers a request. What it throws becomes the answer. The signal: the other side has gone, or all is being closed. */
  readonly answer: (request: IncomingMessage, response: ServerResponse, signal: AbortSignal) => Promise<void>;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
}

/** How long requests that are being answered may take to end when the listener is closed. */
const CLOSE_MS = 2_000;
/** Of what a client sends although it has its answer, so much is read, so that the answer reaches it. */
const DISCARD_BYTES = 64 * 1024 * 1024;

/** Listens for HTTP requests until it is closed. Nothing is logged. */
export class HttpListener {
  readonly port: number;
  readonly server: Server;
  readonly #options: HttpListenerOptions;
  readonly #closing = new AbortController();
  readonly #answering = new Set<Promise<void>>();

  private constructor(options: HttpListenerOptions, server: Server) {
    this.#options = options;
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('request', (request, response) => this.#take(request, response));
    // One for each request under way: more than Node's ten are no leak.
    setMaxListeners(0, this.#closing.signal);
  }

  /**
   * Begins to listen.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` where the port is taken or may not be used.
   */
  static listen(options: HttpListenerOptions): Promise<HttpListener> {
    const { port = 0, host = '127.0.0.1' } = options;
    // A stream of commands takes as long as it takes.
    const server = createServer({ requestTimeout: 0 });
    return new Promise((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const message = `Port ${port} cannot be listened on (${cause.code}). Choose another, or none for a free one.`;
        reject(new ContextCacheError('INVALID_OPTION', message, { cause }));
      });
      server.listen(port, host, () => resolve(new HttpListener(options, server)));
    });
  }

  /** Takes no more requests, ends streams, and waits a moment for what is being answered. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.#closing.abort(new ContextCacheError('CLOSED', 'The server is being closed. Nothing more is taken.'));
    const { clock = systemClock } = this.#options;
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
      timer = clock.setTimeout(resolve, CLOSE_MS);
    });
    await Promise.race([Promise.all(this.#answering), late]);
    clock.clearTimeout(timer);
    this.server.closeAllConnections();
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
      await this.#options.answer(request, response, ended.signal);
    } catch (error) {
      sendError(response, error);
    } finally {
      this.#closing.signal.removeEventListener('abort', end);
    }
    discard(request);
    await gone;
  }
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
