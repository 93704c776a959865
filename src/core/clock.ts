/**
 * The only source of time. The core never reads it; everything else reads it through this port, so that a test or a
 * simulation can control the clock. XState's `SimulatedClock` satisfies it.
 */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  /** Calls `callback` once after `delayMs` milliseconds. */
  setTimeout(callback: () => void, delayMs: number): unknown;
  clearTimeout(handle: unknown): void;
  /**
   * Milliseconds, with fractions, since some instant; never set back. For durations only. Optional: without it, durations are
   * measured by `now`, in whole milliseconds.
   */
  elapsed?(): number;
  /** Lets the process end although this timer is pending. Optional: a simulated clock holds no process. */
  unref?(handle: unknown): void;
}

/** Returns the milliseconds of a clock that is never set back, or those of `now` if it has none. For durations only. */
export function elapsedBy(clock: Pick<Clock, 'now' | 'elapsed'>): number {
  return clock.elapsed?.() ?? clock.now();
}

/** Node refuses longer delays and fires at once instead. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/** The system clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, Math.min(delayMs, LONGEST_DELAY_MS)),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
  unref: (handle) => (handle as NodeJS.Timeout).unref(),
};
