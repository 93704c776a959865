// A process that writes: a node of a cluster, or a client of something else. The bench starts several, tells them when to measure,
// and asks nodes for their state.
import { quantile } from '../passes.mjs';
import { VALUES } from '../values.mjs';
import { MEASURED_FROM, WRITERS } from './writers.mjs';

const given = JSON.parse(process.argv[2]);
/** One write of this many is timed. */
const TIMED = given.inFlight > 16 ? 16 : 1;
/** Resolution, in milliseconds, with which gaps between writes are found. */
const STEP_MS = 10;
const writer = await WRITERS[given.kind](given);
const { commands = 1, cache } = writer;
let next = 0;
/** Time at which the writing ends, epoch milliseconds. */
let end = Number.POSITIVE_INFINITY;

// A process that the bench has lost must not go on.
process.on('disconnect', () => process.exit(1));
process.on('message', async ({ id, ask, ...details }) => {
  try {
    process.send({ id, result: (await ANSWERS[ask](details)) ?? null });
  } catch (error) {
    process.send({ id, error: error?.stack ?? String(error) });
  }
});
process.send({ ready: true });

const ANSWERS = {
  /** Writes from now on, measures between two instants, and returns what was done between them. */
  async measure({ from, to }) {
    const writes = { done: 0, times: [], lastAt: from, gap: 0, used: undefined, busy: new Set() };
    end = to;
    await Promise.all(Array.from({ length: Math.max(1, given.inFlight / commands) }, () => write(writes, from, to)));
    const { user, system } = process.cpuUsage(writes.used);
    const gap = Math.max(writes.gap, to - writes.lastAt);
    await writer.check(MEASURED_FROM, next - 1);
    const p50 = quantile(writes.times, 0.5) ?? 0;
    return { done: writes.done * commands, p50, cpu: user + system, gap, busy: [...writes.busy] };
  },
  /** Returns the state of a node, once it has all that was acknowledged. */
  async state() {
    await cache.barrier();
    return { digest: await cache.digest(), position: cache.position };
  },
  /** Sends writes, awaits them all, and returns how long that took and how long the first one waited. */
  async burst({ count }) {
    globalThis.gc?.();
    const held = process.memoryUsage().rss;
    let grown = 0;
    const watch = setInterval(() => {
      grown = Math.max(grown, process.memoryUsage().rss - held);
    }, 50);
    let firstAt;
    const added = (i) => cache.increment('count', 1, `agent/${i % 100}`).then(() => (firstAt ??= now()));
    await Promise.all(Array.from({ length: count }, (_, i) => added(i)));
    clearInterval(watch);
    let sum = 0;
    for (let i = 0; i < 100; i += 1) sum += cache.get('count', `agent/${i}`);
    return { firstAt, lastAt: now(), grown, sum };
  },
  /** Fills a node with keys. */
  async fill({ from, keys }) {
    const set = (i) => cache.set(`filled-${i}`, VALUES.small(i), `agent/${i % 1_000}`);
    await Promise.all(Array.from({ length: keys }, (_, i) => set(from + i)));
  },
  backup: () => cache.backup(),
  close: () => writer.close(),
};

async function write(writes, from, to) {
  while (now() < end) {
    if (writes.used === undefined && now() >= from) {
      writes.used = process.cpuUsage();
      next = MEASURED_FROM;
    }
    const i = next;
    next += 1;
    const isTimed = i % TIMED === 0;
    const began = isTimed ? performance.now() : 0;
    await writer.write(i);
    const at = now();
    if (at < from || at >= to) continue;
    writes.done += 1;
    if (isTimed) writes.times.push(performance.now() - began);
    writes.gap = Math.max(writes.gap, at - writes.lastAt);
    writes.lastAt = at;
    writes.busy.add(Math.floor((at - from) / STEP_MS));
  }
}

/** Epoch milliseconds with fractions, the same in all processes. */
function now() {
  return performance.timeOrigin + performance.now();
}
