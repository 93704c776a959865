import { monitorEventLoopDelay } from 'node:perf_hooks';
import { quantile } from './passes.mjs';

/** Milliseconds between two samples of Node's own measurement. */
const RESOLUTION_MS = 1;

/**
 * Measures how long the event loop is blocked: the measured code calls `turn()` once per turn, and Node's own timer runs as
 * well. The length of a turn is its wall time or its processor time, whichever is less: wall time is too long if another
 * program ran meanwhile, processor time if the garbage collector used several threads.
 */
export function watchLoop() {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const wall = [];
  const own = [];
  let last = performance.now();
  let used = process.cpuUsage();
  histogram.enable();
  return {
    turn() {
      const now = performance.now();
      const { user, system } = process.cpuUsage(used);
      used = process.cpuUsage();
      wall.push(now - last);
      own.push(Math.min(now - last, (user + system) / 1e3));
      last = now;
    },
    stop() {
      histogram.disable();
      return {
        longest: longest(own),
        p99: quantile(own, 0.99) ?? 0,
        wallLongest: longest(wall),
        wallP99: quantile(wall, 0.99) ?? 0,
        delayP99: Math.max(0, histogram.percentile(99) / 1e6 - RESOLUTION_MS),
      };
    },
  };
}

/** The metrics of {@link watchLoop}, in milliseconds. */
export const PAUSES = {
  longest: { unit: 'ms', better: 'less', what: 'longest turn' },
  p99: { unit: 'ms', better: 'less', what: 'p99 turn' },
  wallLongest: { unit: 'ms', better: 'less', what: 'longest by the wall' },
  wallP99: { unit: 'ms', better: 'less', what: 'p99 by the wall' },
  delayP99: { unit: 'ms', better: 'less', what: 'p99 loop delay' },
};

function longest(numbers) {
  return numbers.reduce((a, b) => Math.max(a, b), 0);
}
