import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../core/clock.ts';

/** Longest stretch of work before others get their turn. */
const STRETCH_MS = 4;
/** The same in bytes, for a clock that stands still between two looks. */
const STRETCH_BYTES = 256 * 1024;
/** The same in items. */
const STRETCH_ITEMS = 2_000;
/** A look at the clock costs something as well. */
const LOOK_EVERY = 16;

/** Tells a long piece of work when to let the event loop go round. */
export class Pace {
  readonly #clock: Clock;
  #since: number;
  #items = 0;
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.now();
  }

  /** Counts an item of work; `true` when it is time to {@link rest}. */
  spent(bytes: number): boolean {
    this.#items += 1;
    this.#bytes += bytes;
    if (this.#bytes >= STRETCH_BYTES || this.#items >= STRETCH_ITEMS) return true;
    return this.#items % LOOK_EVERY === 0 && this.#clock.now() - this.#since >= STRETCH_MS;
  }

  /** Lets the event loop go round once. */
  async rest(): Promise<void> {
    await nextTurn();
    this.#items = 0;
    this.#bytes = 0;
    this.#since = this.#clock.now();
  }
}
