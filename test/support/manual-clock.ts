import type { Clock } from '../../src/core/clock.ts';

/** A clock that advances only on request. */
export class ManualClock implements Clock {
  #now = 1_700_000_000_000;
  readonly #timers = new Map<number, { readonly at: number; readonly callback: () => void }>();
  #next = 1;

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, delayMs: number): unknown {
    this.#timers.set(this.#next, { at: this.#now + delayMs, callback });
    this.#next += 1;
    return this.#next - 1;
  }

  clearTimeout(handle: unknown): void {
    this.#timers.delete(handle as number);
  }

  /** Milliseconds until each pending timer is due. */
  get pending(): number[] {
    return [...this.#timers.values()].map(({ at }) => at - this.#now);
  }

  advance(ms: number): void {
    this.#now += ms;
    for (const [id, { at, callback }] of [...this.#timers]) {
      if (at > this.#now || !this.#timers.delete(id)) continue;
      callback();
    }
  }
}
