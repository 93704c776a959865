import { toError } from '../core/errors.ts';
import type { Update } from '../core/update.ts';
import type { LogStatus } from './update-log.ts';

/** Receives the error of a listener that threw, and must not swallow it. */
export type ErrorHandler = (error: Error) => void;

/** The default {@link ErrorHandler}. Throws the error outside the log, as an uncaught exception of the process. */
export const throwOutside: ErrorHandler = (error) => {
  queueMicrotask(() => {
    throw error;
  });
};

type Listener<Arguments extends readonly unknown[]> = (...values: Arguments) => void;

/** Listeners for one kind of event. A listener that throws stops neither the others nor the caller. */
export class Listeners<Arguments extends readonly unknown[]> {
  readonly #entries = new Set<{ readonly listener: Listener<Arguments> }>();
  readonly #onError: ErrorHandler;

  constructor(onError: ErrorHandler) {
    this.#onError = onError;
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** Adds a listener and returns a function that removes it. The same function may be added more than once. */
  add(listener: Listener<Arguments>): () => void {
    const entry = { listener };
    this.#entries.add(entry);
    return () => void this.#entries.delete(entry);
  }

  /** Calls every listener, in the order in which they were added. */
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

/** The events of a log: groups of committed updates, and changes of status. */
export class LogSignals {
  readonly commit: Listeners<[updates: readonly Update[]]>;
  readonly status: Listeners<[status: LogStatus, cause?: Error]>;

  constructor(onError: ErrorHandler) {
    this.commit = new Listeners(onError);
    this.status = new Listeners(onError);
  }
}
