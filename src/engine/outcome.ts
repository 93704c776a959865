import { toError } from '../core/errors.ts';
import type { FailureSource, Report } from '../core/report.ts';

const COMMAND: FailureSource = { source: 'command' };

const ignore = (): void => {};

/**
 * A promise that knows whether a caller handles it. `await`, `Promise.all` and returning it from an async function call
 * `then` as well, because its constructor is not `Promise`. `then` itself returns an ordinary promise.
 */
class Outcome<Result> extends Promise<Result> {
  isHandled = false;

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  // biome-ignore lint/suspicious/noThenProperty: the override of Promise's own
  override then<Kept = Result, Caught = never>(
    onFulfilled?: ((value: Result) => Kept | PromiseLike<Kept>) | null,
    onRejected?: ((reason: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Kept | Caught> {
    this.isHandled = true;
    return super.then(onFulfilled, onRejected);
  }
}

/** Attaches a handler that does not set `isHandled`, so that Node never reports the promise as an unhandled rejection. */
function keepFromProcess(outcome: Outcome<unknown>): void {
  Promise.prototype.then.call(outcome, undefined, ignore);
}

interface Failure {
  readonly outcome: Outcome<unknown>;
  readonly error: Error;
  readonly source: FailureSource;
}

/**
 * Makes promises whose rejections need no handler. If a rejection gets a handler by the end of the turn, the caller
 * handles it; otherwise it is reported.
 */
export class Outcomes {
  readonly #report: Report;
  #failures: Failure[] = [];

  constructor(report: Report) {
    this.#report = report;
  }

  /** Returns a promise rejected with `error`. */
  rejected(error: Error, source: FailureSource): Promise<never> {
    const outcome = Outcome.reject(error) as Outcome<never>;
    keepFromProcess(outcome);
    this.#failed({ outcome, error, source });
    return outcome;
  }

  /**
   * Returns a promise that settles when `settle` calls back with a result, a promise of a result, or an error. The
   * rejection of a promise passed as the result is not reported.
   */
  pending<Result>(
    settle: (resolve: (result: Result | Promise<Result>) => void, reject: (error: Error) => void) => void,
    source: FailureSource,
  ): Promise<Result> {
    // `settle` may call back before `outcome` is assigned. Node reports a rejection after all microtasks.
    const outcome = new Outcome<Result>((resolve, reject) => {
      const fail = (error: Error) => {
        reject(error);
        queueMicrotask(() => {
          keepFromProcess(outcome);
          this.#failed({ outcome, error, source });
        });
      };
      try {
        settle((result) => {
          resolve(result);
          if (result instanceof Promise) queueMicrotask(() => keepFromProcess(outcome));
        }, fail);
      } catch (error) {
        fail(toError(error));
      }
    });
    return outcome;
  }

  /** Returns a promise with the outcome of another one. */
  of<Result>(promise: Promise<Result>): Promise<Result> {
    if (promise instanceof Outcome) return promise;
    return this.pending((resolve, reject) => {
      promise.then(resolve, (thrown) => reject(toError(thrown)));
    }, COMMAND);
  }

  #failed(failure: Failure): void {
    this.#failures.push(failure);
    // After all microtasks, in which `await` attaches its handler.
    if (this.#failures.length === 1) setImmediate(() => this.#reportUnhandled());
  }

  #reportUnhandled(): void {
    const failures = this.#failures;
    this.#failures = [];
    for (const { outcome, error, source } of failures) if (!outcome.isHandled) this.#report(error, source);
  }
}

/**
 * Makes the promises that the methods of a class return need no handler, those of methods that are added later too. Called once, by the
 * class.
 */
export function needNoHandler<Self extends object>(prototype: Self, outcomesOf: (self: Self) => Outcomes): void {
  for (const [name, { value: method }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (typeof method !== 'function' || name === 'constructor') continue;
    const value = function (this: Self, ...given: readonly unknown[]): unknown {
      const result = method.apply(this, given);
      return result instanceof Promise ? outcomesOf(this).of(result) : result;
    };
    Object.defineProperty(prototype, name, { value, writable: true, configurable: true });
  }
}
