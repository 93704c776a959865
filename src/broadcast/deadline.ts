import type { Clock } from '../core/clock.ts';
import { toError } from '../core/errors.ts';

/** What ends the waiting for some work besides the work itself. */
export interface Bounds {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Makes the error for when the time is over. */
  readonly timedOut: () => Error;
  /** Each may end the waiting; its reason becomes the error. */
  readonly signals: readonly (AbortSignal | undefined)[];
}

/**
 * Settles as `work` does, but no later than the bounds allow. `work` itself goes on; its late outcome is ignored. No
 * timer and no listener is left behind (`Promise.race` with a promise as old as the connection would keep one a call).
 */
export function within<Result>(work: Promise<Result>, bounds: Bounds): Promise<Result> {
  const { clock, signals } = bounds;
  return new Promise((resolve, reject) => {
    const stops: (() => void)[] = [];
    const settle = (how: () => void) => {
      for (const stop of stops.splice(0)) stop();
      how();
    };
    work.then(
      (result) => settle(() => resolve(result)),
      (reason) => settle(() => reject(toError(reason))),
    );
    const aborted = signals.find((signal) => signal?.aborted);
    if (aborted !== undefined) return reject(toError(aborted.reason));
    const timer = clock.setTimeout(() => settle(() => reject(bounds.timedOut())), bounds.timeoutMs);
    stops.push(() => clock.clearTimeout(timer));
    for (const signal of signals) {
      if (signal === undefined) continue;
      const abort = () => settle(() => reject(toError(signal.reason)));
      signal.addEventListener('abort', abort);
      stops.push(() => signal.removeEventListener('abort', abort));
    }
  });
}
