import { setImmediate as nextTurn } from 'node:timers/promises';
import { vi } from 'vitest';
import type { SimulatedClock } from 'xstate';

/** For what must come, and comes at once unless the machine has other things to do. */
const PATIENCE_MS = 30_000;

/** Waits until the check no longer throws. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: PATIENCE_MS, interval: 10 });
}

/** The outcome, with the clock going on in the meantime: a deadline comes, however slow or quick the machine is. */
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
