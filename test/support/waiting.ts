import { setImmediate as nextTurn } from 'node:timers/promises';
import { vi } from 'vitest';
import type { SimulatedClock } from 'xstate';

/** Milliseconds to wait for an event that must come, and comes at once unless the machine is busy. */
const PATIENCE_MS = 30_000;

/** Repeats a check until it no longer throws. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: PATIENCE_MS, interval: 10 });
}

/** Awaits an outcome while advancing the clock, so that a deadline passes however slow or fast the machine is. */
export async function passing<Result>(clock: SimulatedClock, outcome: Promise<Result>): Promise<Result> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  outcome.then(settle, settle);
  while (!settled) {
    clock.increment(1_000);
    await nextTurn();
  }
  return await outcome;
}
