import { ContextCacheError, toError } from '../core/errors.ts';
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

function notAPosition(): ContextCacheError {
  return new ContextCacheError(
    'INVALID_OPTION',
    'reached takes a position: an integer from 0 up, as a write resolves with.',
  );
}
