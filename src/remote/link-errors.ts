import { ContextCacheError } from '../core/errors.ts';
import { CLOSE } from '../wire/socket-protocol.ts';

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
