import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../core/clock.ts';

/** Longest stretch of work in milliseconds before other work gets its turn. */
const STRETCH_MS = 2;
/** Longest turn of other work in milliseconds: a little more than half of the time, if it needs that much. */
const REST_MS = 3;
/** Number of turns in which the clock stands still; after them there is no other work. */
const IDLE_TURNS = 16;
/** Longest stretch of work in bytes, for a clock that stands still between two readings. */
const STRETCH_BYTES = 256 * 1024;
/** Longest stretch of work in items. */
const STRETCH_ITEMS = 2_000;
/** Items between two readings of the clock, which cost time as well. */
const LOOK_EVERY = 16;

/** Decides when a long piece of work lets the event loop turn. */
export class Pace {
  readonly #clock: Clock;
  #since: number;
  #items = 0;
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.now();
  }

  /** Counts an item of work. Returns `true` when it is time to {@link rest}. */
  spent(bytes: number): boolean {
    this.#items += 1;
    this.#bytes += bytes;
    if (this.#bytes >= STRETCH_BYTES || this.#items >= STRETCH_ITEMS) return true;
    return this.#items % LOOK_EVERY === 0 && this.#clock.now() - this.#since >= STRETCH_MS;
  }

  /** Lets the event loop turn, for longer if there is other work. */
  async rest(): Promise<void> {
    const since = this.#clock.now();
    let now = since;
    for (let turns = 0; turns < IDLE_TURNS && now - since < REST_MS; turns += 1) {
      await nextTurn();
      if (this.#clock.now() === now) continue;
      now = this.#clock.now();
      turns = 0;
    }
    this.#items = 0;
    this.#bytes = 0;
    this.#since = this.#clock.now();
  }
}
