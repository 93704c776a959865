import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from './clock.ts';

const SLICE_MS = 4;

/** Cuts long work into slices, so that the event loop gets its turn every few milliseconds. */
export class TimeSlice {
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  #endsAt: number;

  constructor(clock: Clock, signal?: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
    this.#endsAt = clock.now() + SLICE_MS;
  }

  /** Whether it is time to {@link TimeSlice.pause}. */
  get over(): boolean {
    return this.#clock.now() >= this.#endsAt;
  }

  /** Lets the others have a turn. Rejects with the signal's reason where that has been aborted. */
  async pause(): Promise<void> {
    await nextTurn();
    this.#signal?.throwIfAborted();
    this.#endsAt = this.#clock.now() + SLICE_MS;
  }
}
