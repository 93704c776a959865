import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../core/clock.ts';

/** Longest stretch of work before others get their turn, … */
const STRETCH_MS = 2;
/** … and for how long they may have it: a little more than half of the time is theirs, as long as they want it. */
const REST_MS = 3;
/** So many turns without the clock going on: nobody wants them. */
const IDLE_TURNS = 16;
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

  /** Lets the event loop go round, for some time where others have something to do. */
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
