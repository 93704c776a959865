import { monitorEventLoopDelay } from 'node:perf_hooks';
import { quantile } from './passes.mjs';

/** Milliseconds between two looks of Node's own measurement. */
const RESOLUTION_MS = 1;

/**
 * Watches how long the event loop is held up, in two ways: by Node's own timer, and by whoever works in this loop
 * calling `turn()` once in each turn. The second misses nothing; the first is what others look at.
 */
export function watchLoop() {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const turns = [];
  let last = performance.now();
  histogram.enable();
  return {
    turn() {
      const now = performance.now();
      turns.push(now - last);
      last = now;
    },
    /** Milliseconds. */
    stop() {
      histogram.disable();
      const ms = (ns) => Math.max(0, ns / 1e6 - RESOLUTION_MS);
      return {
        longest: turns.reduce((a, b) => Math.max(a, b), 0),
        p99: quantile(turns, 0.99) ?? 0,
        delayP99: ms(histogram.percentile(99)),
        delayMax: ms(histogram.max),
      };
    },
  };
}
