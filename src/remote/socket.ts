import type { IncomingMessage } from 'node:http';
import type { WebSocket } from 'ws';
import type { Clock } from '../core/clock.ts';
import { ContextCacheError, type ErrorCode } from '../core/errors.ts';
import { parseJson } from '../wire/lines.ts';
import { MessageReader } from '../wire/message-codec.ts';
import { type Frame, HELLO, type Hello, PING_MS, SILENCE_MS, SOCKET_PROTOCOL } from '../wire/socket-protocol.ts';
import type { WireError } from '../wire/wire-error.ts';
import type { Endpoint } from './endpoint.ts';

/** Longest wait for a connection and for the server's first message, milliseconds. */
const CONNECT_MS = 5_000;
const MAX_SILENT_PINGS = SILENCE_MS / PING_MS;
/** Pings in the time that a server may be silent, and unanswered ones after which its connection is given up. */
const PINGS = 5;
const MAX_UNANSWERED = 3;

/** Receives what a socket brings. */
export interface SocketEvents {
  readonly onFrame: (frame: Frame) => void;
  /** Called once, with the WebSocket close code. */
  readonly onClose: (code: number, reason: string) => void;
}

/** Decodes the messages of all sockets: a message is decoded in one turn. */
const reader = new MessageReader(true);

/**
 * One connection to a server.
 *
 * @throws {ContextCacheError} (as a rejection of {@link open}) `UNREACHABLE`, `UNAUTHORIZED`, `FORBIDDEN`, `OVERLOADED`,
 *   `FORMAT_UNSUPPORTED`, or the signal's reason.
 */
export class Socket {
  readonly hello: Hello;
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket, hello: Hello) {
    this.#socket = socket;
    this.hello = hello;
  }

  /** Connects. Events come after the promise has resolved. */
  static async open(endpoint: Endpoint, events: SocketEvents, clock: Clock, signal?: AbortSignal): Promise<Socket> {
    // Loaded for a connection only: a program without one starts faster.
    const { WebSocket } = await import('ws');
    return new Promise((resolve, reject) => {
      // The server decides the size of an answer: `maxPayload` would make every repetition fail in the same way.
      const headers = { authorization: `Bearer ${endpoint.token}` };
      const options = { headers, perMessageDeflate: false, maxPayload: 0, ...endpoint.tls };
      const socket = new WebSocket(endpoint.url, options);
      let opened: Socket | undefined;
      const { hungAfterMs } = endpoint;
      const [pingMs, maxSilent] =
        hungAfterMs === undefined ? [PING_MS, MAX_SILENT_PINGS] : [hungAfterMs / PINGS, MAX_UNANSWERED];
      const connectMs = hungAfterMs ?? CONNECT_MS;
      let silentPings = 0;
      let timer: unknown;
      const fail = (error: unknown) => {
        signal?.removeEventListener('abort', abort);
        clock.clearTimeout(timer);
        reject(error);
        socket.terminate();
      };
      const abort = () => fail(signal?.reason);
      const tooLate = () => {
        endpoint.onSilence?.(connectMs);
        const what = `has not answered within ${connectMs} ms`;
        fail(unreachable(endpoint, what, 'Check that it runs and is not paused.'));
      };
      const beat = () => {
        silentPings += 1;
        if (silentPings > maxSilent) {
          endpoint.onSilence?.((maxSilent + 1) * pingMs);
          socket.terminate();
          return;
        }
        // The server itself pings too seldom for that.
        if (hungAfterMs !== undefined) socket.ping();
        timer = clock.setTimeout(beat, pingMs);
      };
      timer = clock.setTimeout(tooLate, connectMs);
      signal?.addEventListener('abort', abort);
      socket.on('open', () =>
        (socket as unknown as { _socket?: { setNoDelay(on: boolean): void } })._socket?.setNoDelay(true),
      );
      socket.on('unexpected-response', (_, response) => void refusal(response, endpoint).then(fail));
      socket.on('error', (cause) => {
        if (opened === undefined)
          fail(unreachable(endpoint, `cannot be reached: ${cause.message}`, 'Check that it runs.', cause));
        else socket.terminate();
      });
      const hear = () => {
        silentPings = 0;
      };
      socket.on('ping', hear);
      socket.on('pong', hear);
      socket.on('close', (code, reason) => {
        clock.clearTimeout(timer);
        if (opened === undefined) fail(unreachable(endpoint, 'has closed the connection', 'Try again.'));
        else events.onClose(code, reason.toString());
      });
      socket.on('message', (data) => {
        silentPings = 0;
        const message = data as Buffer;
        try {
          reader.begin(message);
          while (reader.at < message.length) {
            const frame = reader.value(true) as Frame;
            if (opened !== undefined) {
              events.onFrame(frame);
              continue;
            }
            opened = new Socket(socket, helloOf(frame, endpoint));
            signal?.removeEventListener('abort', abort);
            clock.clearTimeout(timer);
            timer = clock.setTimeout(beat, pingMs);
            resolve(opened);
          }
        } catch (error) {
          if (opened === undefined) fail(error);
          else socket.terminate();
        }
      });
      if (signal?.aborted) abort();
    });
  }

  /** Bytes that wait to be sent. */
  get unsent(): number {
    return this.#socket.bufferedAmount;
  }

  /** Sends a message. Calls back when it has left this process. */
  send(message: Buffer, sent: () => void): void {
    this.#socket.send(message, sent);
  }

  /** Closes the connection. */
  close(): void {
    this.#socket.close(1000);
  }
}

function helloOf(frame: Frame, endpoint: Endpoint): Hello {
  const [id, kind, hello] = Array.isArray(frame) ? frame : [];
  if (id === 0 && kind === HELLO && (hello as unknown as Hello).protocol === SOCKET_PROTOCOL)
    return hello as unknown as Hello;
  const message = `${endpoint.shown} speaks another protocol. Use the same version of agent-context-cache on both sides.`;
  throw new ContextCacheError('FORMAT_UNSUPPORTED', capital(message));
}

/** Returns the error of a server that refuses the connection. */
async function refusal(response: IncomingMessage, endpoint: Endpoint): Promise<ContextCacheError> {
  let text = '';
  try {
    for await (const piece of response.setEncoding('utf8')) text += piece;
    const { code, message } = (parseJson(text) as { error: WireError }).error;
    return new ContextCacheError(code as ErrorCode, message);
  } catch {
    const what = `does not take connections (HTTP status ${response.statusCode})`;
    return unreachable(endpoint, what, 'Name a server of agent-context-cache.');
  }
}

function unreachable({ shown }: Endpoint, what: string, remedy: string, cause?: unknown): ContextCacheError {
  return new ContextCacheError('UNREACHABLE', `${capital(shown)} ${what}. ${remedy}`, { cause });
}

function capital(text: string): string {
  return `${text[0]?.toUpperCase()}${text.slice(1)}`;
}
