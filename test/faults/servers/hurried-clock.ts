import type { Clock } from '../../../src/core/clock.ts';

interface Timer {
  readonly callback: () => void;
  node: NodeJS.Timeout;
}

/**
 * A real clock for one cache, on which time passes `factor` times as fast: with 10, a deadline of 5 s comes after half
 * a second, and a server that is stopped for 3 s has been away for 30. No timer fires while it is frozen, so a call
 * that waits for a deadline never ends.
 */
export class HurriedClock implements Clock {
  readonly #factor: number;
  readonly #origin = Date.now();
  readonly #began = performance.now();
  /** Timers that came due while the clock was frozen. */
  readonly #held = new Set<Timer>();
  #frozen = false;

  constructor(factor: number) {
    this.#factor = factor;
  }

  now(): number {
    return Math.floor(this.#origin + (performance.now() - this.#began) * this.#factor);
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    const timer = {
      callback,
      node: setTimeout(() => this.#fire(timer), Math.min(delayMs, 2 ** 31 - 1) / this.#factor),
    };
    return timer;
  }

  clearTimeout(timer: Timer | undefined): void {
    if (timer === undefined) return;
    clearTimeout(timer.node);
    this.#held.delete(timer);
  }

  unref(timer: Timer): void {
    timer.node.unref();
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    for (const timer of [...this.#held]) {
      // A timer may have cleared another one.
      if (this.#held.delete(timer)) timer.callback();
    }
  }

  #fire(timer: Timer): void {
    if (this.#frozen) this.#held.add(timer);
    else timer.callback();
  }
}
