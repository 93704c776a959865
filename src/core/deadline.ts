import type { Clock } from './clock.ts';
import { ContextCacheError, toError } from './errors.ts';

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

/** What bounds the waiting for work that can be told to stop. */
export interface Deadline {
  /** For the message: who is waited for. */
  readonly what: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/**
 * As {@link within}; `work` is told by its own signal when nobody waits for it any more.
 *
 * @throws {ContextCacheError} `TIMED_OUT`: whether the work is done is not known; or the signal's reason.
 */
export async function withDeadline<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  { what, timeoutMs, clock, signal }: Deadline,
): Promise<Result> {
  if (signal?.aborted) throw toError(signal.reason);
  const controller = new AbortController();
  let ended = false;
  const running = (async () => {
    try {
      return await work(controller.signal);
    } finally {
      ended = true;
    }
  })();
  const timedOut = () => new ContextCacheError('TIMED_OUT', `${what} did not answer within ${timeoutMs} ms.`);
  try {
    return await within(running, { clock, timeoutMs, timedOut, signals: [signal] });
  } catch (error) {
    if (!ended) controller.abort(error);
    throw error;
  }
}

/** The promise, or a rejection with the signal's reason where that comes first. The work goes on. */
export function untilAborted<Result>(promise: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    const done = () => signal.removeEventListener('abort', abort);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    promise.finally(done).then(resolve, reject);
  });
}
