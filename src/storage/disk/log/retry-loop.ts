import { backOffMs } from '../../../core/back-off.ts';
import type { Clock } from '../../../core/clock.ts';
import { toError } from '../../../core/errors.ts';

/** Options of {@link RetryLoop}. */
export interface RetryLoopOptions {
  readonly clock: Clock;
  /** The attempt. A rejection schedules the next one. */
  readonly attempt: () => Promise<void>;
  /** Receives the reason of a failed attempt. */
  readonly onFailure: (cause: Error) => void;
  /** Milliseconds before the first attempt. Doubles with every failure, up to `longestDelayMs`. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
}

/** Repeats an attempt at growing intervals until it succeeds or is stopped. */
export class RetryLoop {
  readonly #options: RetryLoopOptions;
  #timer: unknown;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: RetryLoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule(1);
  }

  /** Starts no further attempt and waits for the present one. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#options.clock.clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(attempt: number): void {
    if (this.#stopped) return;
    const { clock, firstDelayMs, longestDelayMs } = this.#options;
    this.#timer = clock.setTimeout(
      () => {
        this.#running = this.#options.attempt().catch((thrown) => {
          this.#options.onFailure(toError(thrown));
          this.#schedule(attempt + 1);
        });
      },
      backOffMs(attempt, firstDelayMs, longestDelayMs),
    );
  }
}
