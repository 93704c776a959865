import { toError } from '../core/errors.ts';
import type { Update } from '../core/update.ts';
import type { LogStatus } from './update-log.ts';

/** Takes the error of a listener that threw; must not lose it. */
export type ErrorHandler = (error: Error) => void;

/** The default {@link ErrorHandler}: throws outside the log, where the process sees an uncaught exception. */
export const throwOutside: ErrorHandler = (error) => {
  queueMicrotask(() => {
    throw error;
  });
};

type Listener<Arguments extends readonly unknown[]> = (...values: Arguments) => void;

/** Listeners of one kind. One that throws stops neither the others nor the caller. */
export class Listeners<Arguments extends readonly unknown[]> {
  readonly #entries = new Set<{ readonly listener: Listener<Arguments> }>();
  readonly #onError: ErrorHandler;

  constructor(onError: ErrorHandler) {
    this.#onError = onError;
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** Registers; returns how to stop. The same function may be registered more than once. */
  add(listener: Listener<Arguments>): () => void {
    const entry = { listener };
    this.#entries.add(entry);
    return () => void this.#entries.delete(entry);
  }

  /** Calls every listener, in the order they came. */
  emit(...values: Arguments): void {
    for (const { listener } of this.#entries) {
      try {
        listener(...values);
      } catch (thrown) {
        this.#onError(toError(thrown));
      }
    }
  }
}

/** What a log tells the others in its process. */
export class LogSignals {
  readonly commit: Listeners<[updates: readonly Update[]]>;
  readonly status: Listeners<[status: LogStatus, cause?: Error]>;

  constructor(onError: ErrorHandler) {
    this.commit = new Listeners(onError);
    this.status = new Listeners(onError);
  }
}
