import type { Clock } from './clock.ts';
import { ContextCacheError, toError } from './errors.ts';

/** Bounds of a wait for some work. */
export interface Bounds {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Creates the error for a timeout. */
  readonly timedOut: () => Error;
  /** Signals that end the wait; the reason becomes the error. */
  readonly signals: readonly (AbortSignal | undefined)[];
}

/**
 * Settles as `work` does, but no later than the bounds allow. `work` itself continues, and its late outcome is ignored.
 * Leaves no timer and no listener behind, while `Promise.race` with a long-lived promise keeps one per call.
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

/** Bounds of a wait for work that can be aborted. */
export interface Deadline {
  /** Name of the awaited party, for the message. */
  readonly what: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Does the same as {@link within}, and aborts the signal of `work` when the wait ends early.
 *
 * @throws {ContextCacheError} `TIMED_OUT`, in which case the work may be done or not; or the signal's reason.
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

/** Settles as the promise does, or rejects with the signal's reason if that comes first. The work continues. */
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

/** Resolves after this many milliseconds, or when the signal aborts. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clock.clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
