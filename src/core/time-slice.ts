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

  /** `true` when the slice is used up; then call {@link TimeSlice.pause}. */
  get over(): boolean {
    return this.#clock.now() >= this.#endsAt;
  }

  /** Yields to the event loop and starts the next slice. Rejects with the signal's reason if it is aborted. */
  async pause(): Promise<void> {
    await nextTurn();
    this.#signal?.throwIfAborted();
    this.#endsAt = this.#clock.now() + SLICE_MS;
  }
}

/** Items sorted in one go: about a millisecond of work. */
const RUN = 1024;

/** Returns the items sorted, with pauses in between. Equal items keep their order. */
export async function sortInSlices<Item>(
  items: readonly Item[],
  compare: (a: Item, b: Item) => number,
  slice: TimeSlice,
): Promise<Item[]> {
  let runs: Item[][] = [];
  for (let start = 0; start < items.length; start += RUN) {
    runs.push(items.slice(start, start + RUN).sort(compare));
    if (slice.over) await slice.pause();
  }
  while (runs.length > 1) {
    const merged: Item[][] = [];
    for (let index = 0; index < runs.length; index += 2) {
      merged.push(await merge(runs[index] ?? [], runs[index + 1] ?? [], compare, slice));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<Item>(
  a: readonly Item[],
  b: readonly Item[],
  compare: (a: Item, b: Item) => number,
  slice: TimeSlice,
): Promise<Item[]> {
  const merged: Item[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (merged.length % RUN === 0 && slice.over) await slice.pause();
    const takesA = j >= b.length || (i < a.length && compare(a[i] as Item, b[j] as Item) <= 0);
    if (takesA) merged.push(a[i++] as Item);
    else merged.push(b[j++] as Item);
  }
  return merged;
}
