import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../index.ts';

const SLICE_MS = 4;
/** Sorted at once: takes about a millisecond. */
const RUN = 1024;

/** Cuts long work into slices, so that who uses the cache gets its turn every few milliseconds. */
export class Turns {
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  #endsAt: number;

  constructor(clock: Clock, signal?: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
    this.#endsAt = clock.now() + SLICE_MS;
  }

  /**
   * Gives others a turn where it is time to; `undefined` where it is not: whoever asks often awaits it only where it is
   * one. Rejects with the signal's reason.
   */
  next(): Promise<void> | undefined {
    return this.#clock.now() < this.#endsAt ? undefined : this.#pause();
  }

  async #pause(): Promise<void> {
    await nextTurn();
    this.#signal?.throwIfAborted();
    this.#endsAt = this.#clock.now() + SLICE_MS;
  }
}

/** The items sorted, with turns for others in between. Equal ones stay in their order. */
export async function sortInTurns<Item>(
  items: readonly Item[],
  compare: (a: Item, b: Item) => number,
  turns: Turns,
): Promise<Item[]> {
  let runs: Item[][] = [];
  for (let start = 0; start < items.length; start += RUN) {
    runs.push(items.slice(start, start + RUN).sort(compare));
    await turns.next();
  }
  while (runs.length > 1) {
    const merged: Item[][] = [];
    for (let index = 0; index < runs.length; index += 2) {
      merged.push(await merge(runs[index] ?? [], runs[index + 1] ?? [], compare, turns));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<Item>(
  a: readonly Item[],
  b: readonly Item[],
  compare: (a: Item, b: Item) => number,
  turns: Turns,
): Promise<Item[]> {
  const merged: Item[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (merged.length % RUN === 0) await turns.next();
    const takesA = j >= b.length || (i < a.length && compare(a[i] as Item, b[j] as Item) <= 0);
    if (takesA) merged.push(a[i++] as Item);
    else merged.push(b[j++] as Item);
  }
  return merged;
}
