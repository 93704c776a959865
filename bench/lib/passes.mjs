import { setImmediate as nextTurn } from 'node:timers/promises';

/** Collects all garbage; the bench runs with --expose-gc. Not between passes: it throws away optimized code as well. */
export function collect() {
  globalThis.gc?.();
}

/** Collects young garbage, so that nobody pays for what came before, and leaves the code as it is. */
export function collectYoung() {
  globalThis.gc?.({ type: 'minor' });
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The value that a share `part` of the numbers does not exceed. */
export function quantile(numbers, part) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

/**
 * How a pass is timed: warm-up, then some passes, of which the median counts. In milliseconds of the processor: on a
 * machine that is busy with other things, code is warm only after it has run as long as elsewhere.
 */
export function paceOf({ quick }) {
  return quick ? { warmMs: 20, passMs: 20, passes: 2 } : { warmMs: 400, passMs: 100, passes: 5 };
}

/**
 * What an operation costs in nanoseconds of the processor (`ns`), those of the garbage collector and the compiler
 * included, and by the clock on the wall (`wall`). The first is what other programs on the machine do not change.
 * `run(from, count)` does operations `from` to `from + count`, at once or as a promise; it is called with bursts of at
 * most `burst`, after each of which the event loop gets a turn, in the time that is measured. Gives the number of
 * operations as well, so that the caller can check what has been done.
 */
export async function nanosecondsPerOperation(run, pace, burst) {
  let done = 0;
  // A slow candidate must not do a whole burst before the clock is looked at.
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
