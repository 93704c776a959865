import type { Clock } from './clock.ts';
import { ContextCacheError, toError } from './errors.ts';

/** What bounds the waiting for some work. */
export interface Deadline {
  /** For the message: who is waited for. */
  readonly what: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Settles as `work` does, but no later than the deadline or the signal says; `work` is told by its own signal then,
 * and a late outcome of it is ignored. Leaves no timer and no listener behind.
 *
 * @throws {ContextCacheError} `TIMED_OUT`: whether the work is done is not known; or the signal's reason.
 */
export function withDeadline<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  { what, timeoutMs, clock, signal }: Deadline,
): Promise<Result> {
  if (signal?.aborted) return Promise.reject(toError(signal.reason));
  const controller = new AbortController();
  return new Promise((resolve, reject) => {
    const end = () => {
      clock.clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const giveUp = (reason: Error) => {
      end();
      controller.abort(reason);
      reject(reason);
    };
    const onAbort = () => giveUp(toError(signal?.reason));
    const timer = clock.setTimeout(
      () => giveUp(new ContextCacheError('TIMED_OUT', `${what} did not answer within ${timeoutMs} ms.`)),
      timeoutMs,
    );
    signal?.addEventListener('abort', onAbort);
    work(controller.signal).then(
      (result) => {
        end();
        resolve(result);
      },
      (reason: unknown) => {
        end();
        reject(toError(reason));
      },
    );
  });
}
