import type { ContextCommand } from '../core/command.ts';
import { withDeadline } from '../core/deadline.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { durationOf } from '../engine/durations.ts';
import type { Engine } from '../engine/engine.ts';
import type { WaitOptions } from './types.ts';

/** Resolves once the cache has everything up to a position. */
export function reached(
  { log, sequencer }: Engine,
  position: number,
  { signal }: Pick<WaitOptions, 'signal'>,
): Promise<void> {
  if (!Number.isSafeInteger(position) || position < 0) throw notAPosition();
  return new Promise((resolve, reject) => {
    const stops: (() => void)[] = [];
    const settle = (how: () => void) => {
      for (const stop of stops.splice(0)) stop();
      how();
    };
    const look = () => {
      const failure = sequencer?.failure;
      if (log.head >= position) settle(resolve);
      else if (failure !== undefined) settle(() => reject(failure));
    };
    const abort = () => settle(() => reject(toError(signal?.reason)));
    const closed = () => settle(() => reject(new ContextCacheError('CLOSED', 'The cache is shut down.')));
    signal?.addEventListener('abort', abort);
    stops.push(() => signal?.removeEventListener('abort', abort));
    stops.push(sequencer === undefined ? log.onCommit(look) : sequencer.onApplied(look));
    stops.push(log.onStatus((status) => status === 'closed' && closed()));
    if (signal?.aborted) abort();
    else if (log.status === 'closed') closed();
    else look();
  });
}

/** Milliseconds that the command waits at most, and if it does not say how long. */
const REACHED_MS = 30_000;

/**
 * Waits as {@link reached}, but no longer than 30 s: a client that is gone must not leave a wait behind, and any agent may ask.
 * A client that wants to wait longer asks again after `TIMED_OUT`.
 *
 * @throws {ContextCacheError} `TIMED_OUT`.
 */
export function reachedInTime(
  parts: Engine,
  { position, timeoutMs }: Extract<ContextCommand, { type: 'cache.reached' }>,
): Promise<void> {
  const limitMs = Math.min(durationOf('timeoutMs', timeoutMs) ?? REACHED_MS, REACHED_MS);
  const wait = (signal: AbortSignal) => reached(parts, position, { signal });
  return withDeadline(wait, { what: `Position ${position} of this cache`, timeoutMs: limitMs, clock: parts.clock });
}

function notAPosition(): ContextCacheError {
  return new ContextCacheError(
    'INVALID_OPTION',
    'reached takes a position: an integer from 0 up, as a write resolves with.',
  );
}
