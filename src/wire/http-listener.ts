import { AsyncResource } from 'node:async_hooks';
import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions as TlsOptions, Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Clock, systemClock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { sendError } from './http-response.ts';

/** Options of {@link HttpListener.listen}. */
export interface HttpListenerOptions {
  /** Default 0: a free one. */
  readonly port?: number | undefined;
  /** Default `127.0.0.1`. */
  readonly host?: string | undefined;
  /** Answers a request; an error becomes the answer. `signal` is aborted when the client is gone or the listener closes. */
  readonly answer: (request: IncomingMessage, response: ServerResponse, signal: AbortSignal) => Promise<void>;
  /** Takes a request for a WebSocket. Default: such requests are answered as others. */
  readonly upgrade?: ((request: IncomingMessage, socket: Duplex, head: Buffer) => void) | undefined;
  /** Certificate and key; the listener then takes TLS only. Default: none. */
  readonly tls?: TlsOptions | undefined;
  /** Most open connections; further ones are dropped. Default: no limit. */
  readonly maxConnections?: number | undefined;
  /** Default: the system clock. */
  readonly clock?: Clock | undefined;
}

/** Longest wait for running requests when the listener closes, milliseconds. */
const CLOSE_MS = 2_000;
/**
 * Bytes of the headers of a request. A key of 64 KiB in the query takes three times as much, percent-encoded. Node's own 16 KiB
 * would refuse keys that the cache takes.
 */
const HEADER_BYTES = 256 * 1024;
/** Longest time from the start of a connection, or of a request on it, to the end of the headers, milliseconds. */
const HEADERS_MS = 10_000;
/** From one look for connections that take too long to the next, milliseconds. */
const CHECK_MS = 5_000;
/** Longest time to drain after answering, milliseconds. */
const DISCARD_MS = 10_000;
/** Bytes to drain after answering. Closing with unread bytes resets the connection and loses the answer. */
const DISCARD_BYTES = 64 * 1024 * 1024;

/** Requests are answered in the context of this module, not in that of the code that has started the listener. */
const OUTSIDE = new AsyncResource('agent-context-cache listener', { requireManualDestroy: true });

/** A listener for HTTP requests. Logs nothing. */
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
    // One listener per running request: more than Node's default of ten is no leak.
    setMaxListeners(0, this.#closing.signal);
    const { upgrade } = options;
    if (upgrade === undefined) return;
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (request.headers.upgrade?.toLowerCase() === 'websocket') upgrade(request, socket, head);
      else decline(server, request, socket, head);
    });
  }

  /**
   * Starts to listen.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` if the port is taken or not permitted.
   */
  static listen(options: HttpListenerOptions): Promise<HttpListener> {
    return OUTSIDE.runInAsyncScope(() => HttpListener.#listen(options));
  }

  static #listen(options: HttpListenerOptions): Promise<HttpListener> {
    const { port = 0, host = '127.0.0.1', tls, maxConnections } = options;
    // A stream of commands has no time limit. Node would then give headers none either, and strangers could hold every
    // connection by sending nothing.
    const times = { requestTimeout: 0, headersTimeout: HEADERS_MS, connectionsCheckingInterval: CHECK_MS };
    const limits = { ...times, maxHeaderSize: HEADER_BYTES };
    const server = tls === undefined ? createServer(limits) : createTlsServer({ ...tls, ...limits });
    if (maxConnections !== undefined) server.maxConnections = maxConnections;
    return new Promise((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const message = `Port ${port} cannot be listened on (${cause.code}). Choose another, or none for a free one.`;
        reject(new ContextCacheError('INVALID_OPTION', message, { cause }));
      });
      server.listen(port, host, () => resolve(new HttpListener(options, server)));
    });
  }

  /** Takes no more requests, ends streams, and waits up to 2 s for running requests. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.#closing.abort(new ContextCacheError('CLOSED', 'The server is being closed and takes no more requests.'));
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
      ended.abort(this.#closing.signal.reason ?? new ContextCacheError('CLOSED', 'The client is gone.'));
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
    discard(request, this.#options.clock ?? systemClock);
    await gone;
  }
}

/**
 * Gives a request back to the server without its upgrade to a protocol that is not spoken here, such as h2c, so that it is
 * answered as if it had not asked for one.
 */
function decline(
  server: Server,
  { method, url, httpVersion, rawHeaders }: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  let text = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (!/^(upgrade|connection|http2-settings)$/i.test(rawHeaders[i] ?? ''))
      text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  }
  socket.unshift(Buffer.concat([Buffer.from(`${text}\r\n`, 'latin1'), head]));
  server.emit(server instanceof TlsServer ? 'secureConnection' : 'connection', socket);
}

/** Reads and discards the rest of a request; see {@link DISCARD_BYTES}. */
function discard(request: IncomingMessage, clock: Clock): void {
  if (request.readableEnded || request.destroyed) return;
  let bytes = 0;
  const timer = clock.setTimeout(() => request.destroy(), DISCARD_MS);
  clock.unref?.(timer);
  request.once('close', () => clock.clearTimeout(timer));
  request.on('data', (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > DISCARD_BYTES) request.destroy();
  });
  request.resume();
}
