import TinyQueue from 'tinyqueue';
import type { Clock } from '../core/clock.ts';

interface Wake {
  readonly name: string;
  readonly at: number;
}

/** One timer for the expiries of all namespaces; none where nothing will expire. */
export class ExpirySchedule {
  readonly #clock: Clock;
  readonly #wake: (name: string, at: number) => void;
  readonly #queue = new TinyQueue<Wake>([], (a, b) => a.at - b.at);
  #timer: unknown;
  #timerAt = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(clock: Clock, wake: (name: string, at: number) => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** The namespace wants to be woken at this instant. A namespace may be in here several times. */
  add(name: string, at: number): void {
    if (this.#stopped || at === Number.POSITIVE_INFINITY) return;
    this.#queue.push({ name, at });
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#clock.clearTimeout(this.#timer);
  }

  #arm(): void {
    const next = this.#queue.peek();
    if (next === undefined || next.at >= this.#timerAt) return;
    this.#clock.clearTimeout(this.#timer);
    this.#timerAt = next.at;
    this.#timer = this.#clock.setTimeout(() => this.#fire(), Math.max(0, next.at - this.#clock.now()));
    this.#clock.unref?.(this.#timer);
  }

  #fire(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    for (let next = this.#queue.peek(); next !== undefined && next.at <= now; next = this.#queue.peek()) {
      this.#queue.pop();
      this.#wake(next.name, now);
      if (this.#stopped) return;
    }
    this.#arm();
  }
}
