import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Refusal } from './http-guard.ts';
import { statusOf, type WireError, wireError } from './wire-error.ts';

/** The client is gone, so there is no answer to write. */
export class ClientGone extends Error {}

/** Answers with one JSON value. */
export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...COMMON });
  response.end(text);
}

/** Answers with a text of this media type. */
export function sendText(response: ServerResponse, type: string, text: string): void {
  response.writeHead(200, { 'content-type': type, ...COMMON });
  response.end(text);
}

/** Answers with an error; as the last line if the answer has started. */
export function sendError(response: ServerResponse, error: unknown): void {
  if (error instanceof ClientGone || response.destroyed) return;
  const body: { error: WireError } = { error: wireError(error) };
  if (response.headersSent) response.end(`${JSON.stringify(body)}\n`);
  else sendJson(response, statusOf(body.error), body);
}

/** Refuses a request with a status and a reason. */
export function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  sendJson(response, status, { error: { code, message } });
}

/** Refuses the upgrade of a connection to a WebSocket, with a status and a reason. */
export function refuseUpgrade(socket: Duplex, { status, code, message }: Refusal): void {
  const body = `${JSON.stringify({ error: { code, message } })}\n`;
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`;
  const type = 'Connection: close\r\nContent-Type: application/json; charset=utf-8';
  // A peer that does not close its side would hold the connection for ever.
  socket.once('finish', () => socket.destroy());
  socket.end(`${head}\r\n${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

const COMMON = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

/** Starts an answer of JSON lines. */
export function beginLines(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson; charset=utf-8', ...COMMON });
  response.flushHeaders();
}

/**
 * Sends text. Waits for a slow client.
 *
 * @throws {ClientGone}
 */
export function writeText(response: ServerResponse, text: string): Promise<void> | undefined {
  if (response.destroyed) throw new ClientGone();
  if (response.write(text)) return undefined;
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      response.off('drain', onDrain);
      response.off('close', onClose);
      end();
    };
    const onDrain = () => settle(resolve);
    const onClose = () => settle(() => reject(new ClientGone()));
    response.on('drain', onDrain);
    response.on('close', onClose);
  });
}

/** Sends chunks of lines as fast as they are read. Starts with the first one, so that an earlier error has its own status. */
export async function sendChunks(response: ServerResponse, chunks: AsyncIterable<string>): Promise<void> {
  for await (const chunk of chunks) {
    if (!response.headersSent) beginLines(response);
    await writeText(response, chunk);
  }
  if (!response.headersSent) beginLines(response);
  response.end();
}
