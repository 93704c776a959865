import type { Clock } from '../../../core/clock.ts';
import { toError } from '../../../core/errors.ts';

/** Options of {@link RetryLoop}. */
export interface RetryLoopOptions {
  readonly clock: Clock;
  /** Rejects to be called again later. */
  readonly attempt: () => Promise<void>;
  /** Takes why an attempt failed. */
  readonly onFailure: (cause: Error) => void;
  /** Before the first attempt; doubles with each one that fails. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
}

/** Tries until it succeeds or is stopped, ever less often. */
export class RetryLoop {
  readonly #options: RetryLoopOptions;
  #timer: unknown;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: RetryLoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule(this.#options.firstDelayMs);
  }

  /** No attempt begins after this; waits for the one that is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#options.clock.clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#running = this.#options.attempt().catch((thrown) => {
        this.#options.onFailure(toError(thrown));
        this.#schedule(Math.min(delayMs * 2, this.#options.longestDelayMs));
      });
    }, delayMs);
  }
}
