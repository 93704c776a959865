import { ContextCacheError, toError } from '../core/errors.ts';
import { CLOSE } from '../wire/socket-protocol.ts';
import type { Endpoint } from './endpoint.ts';

/** Codes of a server that refuses this client, now and later. */
const FINAL: readonly string[] = ['UNAUTHORIZED', 'FORBIDDEN', 'FORMAT_UNSUPPORTED'];

/** Returns whether connecting again would fail in the same way. A token from `serve.json` may be replaced at any time. */
export function isFinal({ code }: ContextCacheError, endpoint: Endpoint | undefined): boolean {
  return FINAL.includes(code) && !(code === 'UNAUTHORIZED' && endpoint?.isTokenFromFile);
}

/** The connection was lost before the answer to a write. */
export function unknownOutcome(): ContextCacheError {
  return new ContextCacheError(
    'OUTCOME_UNKNOWN',
    'The connection was lost before the answer, so the write may or may not have taken effect. Read the present value before you try again.',
  );
}

/** A request was repeated until its time was over. */
export function lostAgain(timeoutMs: number): ContextCacheError {
  const message = `The connection was lost each time before the answer, for ${timeoutMs} ms. Ask for less, or check the server.`;
  return new ContextCacheError('UNREACHABLE', message);
}

/** A connection is lost; `code` is the WebSocket close code. */
export function lost(code: number): ContextCacheError {
  const why =
    code === CLOSE.goingAway ? 'The server is closing' : `The connection to the server is lost (code ${code})`;
  return new ContextCacheError('UNREACHABLE', `${why}. Connecting again.`);
}

/** @throws {ContextCacheError} `INVALID_COMMAND` if a request has more bytes than the server takes. */
export function checkSize(bytes: number, maxBytes: number): void {
  if (bytes <= maxBytes) return;
  const message = `The request has ${bytes} bytes; the server takes ${maxBytes}. Split it.`;
  throw new ContextCacheError('INVALID_COMMAND', message);
}

/** The request was not sent: it is too large, or holds what is no JSON value, such as an option that contains itself. */
export function notSent(cause: unknown): ContextCacheError {
  if (cause instanceof ContextCacheError) return cause;
  const message = `The request cannot be encoded: ${toError(cause).message}. Give it plain JSON values.`;
  return new ContextCacheError('INVALID_COMMAND', message, { cause });
}
