import { type Clock, elapsedBy } from '../core/clock.ts';

/**
 * The clock of a node's data: the stream's time plus what has passed since on this machine. So readers on all nodes see an entry
 * expire at about the same time, whatever the clocks of their machines say. Timers are those of the machine.
 *
 * The time since the last message is an estimate, which each message corrects, also backwards: a server that was paused stores messages with
 * the instants at which it got them, and for these an entry may be there that the estimate has taken for expired. In the turn of a
 * message the time is exactly that of the message, however long the turn takes, so that a read after a barrier estimates nothing.
 */
export class StreamClock implements Clock {
  readonly #machine: Clock;
  readonly #schedule: (run: () => void) => void;
  #time: number | undefined;
  /** Elapsed time of this machine at the end of the turn in which the time was set; `undefined` during that turn. */
  #setAt: number | undefined;
  #isScheduled = false;

  /** `schedule` runs something in the next turn. Default: `setImmediate`. */
  constructor(machine: Clock, schedule: (run: () => void) => void = setImmediate) {
    this.#machine = machine;
    this.#schedule = schedule;
  }

  /** Takes in the stream's time. */
  set(time: number): void {
    this.#time = time;
    this.#setAt = undefined;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#schedule(() => {
      this.#isScheduled = false;
      this.#setAt = this.elapsed();
    });
  }

  /** The time of this machine until the stream has said its own. */
  now(): number {
    if (this.#time === undefined) return this.#machine.now();
    if (this.#setAt === undefined) return this.#time;
    return Math.floor(this.#time + Math.max(0, this.elapsed() - this.#setAt));
  }

  elapsed(): number {
    return elapsedBy(this.#machine);
  }

  setTimeout(callback: () => void, delayMs: number): unknown {
    return this.#machine.setTimeout(callback, delayMs);
  }

  clearTimeout(handle: unknown): void {
    this.#machine.clearTimeout(handle);
  }

  unref(handle: unknown): void {
    this.#machine.unref?.(handle);
  }
}
