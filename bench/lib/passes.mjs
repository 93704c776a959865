import { setImmediate as nextTurn } from 'node:timers/promises';

/** Collects all garbage; the bench runs with --expose-gc. Not for use between passes: it discards optimized code as well. */
export function collect() {
  globalThis.gc?.();
}

/** Collects young garbage, so that a pass does not pay for the one before. Keeps optimized code. */
export function collectYoung() {
  globalThis.gc?.({ type: 'minor' });
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Returns the quantile `part` (0 to 1) of the numbers. */
export function quantile(numbers, part) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

/**
 * Times of a pass in milliseconds of processor time: a warm-up, then passes of which the median counts. Processor time, because
 * on a busy machine code is warm only after it has run as long as on a quiet one.
 */
export function paceOf({ quick }) {
  return quick ? { warmMs: 20, passMs: 20, passes: 2 } : { warmMs: 400, passMs: 100, passes: 5 };
}

/**
 * Returns the cost of an operation in nanoseconds of processor time (`ns`), including garbage collector and compiler, and
 * of wall time (`wall`). Other programs on the machine do not affect the first. `run(from, count)` does the operations `from`
 * to `from + count`, synchronously or as a promise; it is called with bursts of at most `burst`, and the event loop gets a turn
 * after each, within the measured time. Also returns the number of operations, so that the caller can check the result.
 */
export async function nanosecondsPerOperation(run, pace, burst) {
  let done = 0;
  // A slow candidate must not do a whole burst before the clock is read.
  let size = Math.min(burst, 16);
  const pass = async (ms) => {
    const from = done;
    const before = process.cpuUsage();
    const began = performance.now();
    let used = 0;
    while (used < ms) {
      const last = used;
      const running = run(done, size);
      if (running !== undefined) await running;
      done += size;
      await nextTurn();
      used = processorMs(before);
      if (used - last < ms / 20 && size < burst) size = Math.min(burst, size * 2);
    }
    const many = done - from;
    return { ns: (processorMs(before) * 1e6) / many, wall: ((performance.now() - began) * 1e6) / many };
  };
  collect();
  await pass(pace.warmMs);
  const results = [];
  for (let i = 0; i < pace.passes; i += 1) {
    collectYoung();
    results.push(await pass(pace.passMs));
  }
  return { ns: median(results.map(({ ns }) => ns)), wall: median(results.map(({ wall }) => wall)), done };
}

function processorMs(before) {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e3;
}

/** The metrics of {@link nanosecondsPerOperation}. */
export const COST = {
  ns: { unit: 'ns', better: 'less', what: 'processor' },
  wall: { unit: 'ns', better: 'less', what: 'wall' },
};
