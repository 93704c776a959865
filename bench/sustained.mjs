// Measures whether durable writes stay as fast as they begin: a minute at full rate, with the index following. The limit appends as
// many bytes to a file.
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { check, checkSame } from './lib/check.mjs';
import { GroupFile } from './lib/group-file.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { bytesInLog, updateOf } from './lib/updates.mjs';
import { VALUES } from './lib/values.mjs';

const KEYS = Array.from({ length: 10_000 }, (_, i) => `key-${i}`);
const NAMESPACES = Array.from({ length: 100 }, (_, i) => `agent/${i}`);
const placeOf = (i) => [NAMESPACES[i % 100], KEYS[i % KEYS.length]];

export default {
  order: 5.5,
  title: 'a minute of durable `set`',
  about: 'acknowledged writes of a small object that are on disk, at full rate for a minute',
  metrics: {
    rate: { unit: '/s', better: 'more', what: 'of the whole minute' },
    kept: { unit: 'share', better: 'more', what: 'rate of the last sixth, of that of the first' },
    turn: { unit: 'ms', better: 'less', what: 'longest turn of the event loop' },
    memory: { unit: 'bytes', better: 'less', what: 'resident memory at the end beyond that after a third' },
  },
  ratioStyle: 'share',
  goals: [],
  cases: ({ quick }) => [{ name: '256 in flight', headline: true, inFlight: 256, ms: quick ? 1_200 : 60_000 }],
  candidates: [
    { name: 'raw append and fdatasync', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
  ],
  async measure({ candidate, dir, case: { inFlight, ms } }) {
    const writer = await WRITERS[candidate](dir, inFlight);
    const counts = [0, 0, 0, 0, 0, 0];
    const resident = [];
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const began = performance.now();
    let next = 0;
    const worker = async () => {
      for (;;) {
        const part = Math.floor(((performance.now() - began) / ms) * counts.length);
        if (part >= counts.length) return;
        resident[part] ??= process.memoryUsage.rss();
        const i = next;
        next += 1;
        await writer.write(i);
        counts[part] += 1;
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
    delay.disable();
    const memory = process.memoryUsage.rss() - resident[2];
    await writer.check(next);
    const done = counts.reduce((sum, count) => sum + count, 0);
    return { rate: (done / ms) * 1_000, kept: counts[5] / counts[0], turn: delay.max / 1e6, memory };
  },
};

const WRITERS = {
  'raw append and fdatasync': (dir, inFlight) => {
    const updates = Array.from({ length: inFlight }, (_, i) => updateOf(i, ...placeOf(i), VALUES.small(i)));
    const bytes = Buffer.alloc(bytesInLog(updates), 'x');
    const file = new GroupFile(join(dir, 'raw.log'));
    return {
      write: () => file.append(bytes),
      check(done) {
        checkSame(file.bytes, done * bytes.length, 'the size of the file');
        file.close();
      },
    };
  },

  'agent-context-cache': async (dir) => {
    const dataDir = join(dir, 'data');
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    return {
      write(i) {
        const [namespace, key] = placeOf(i);
        return cache.set(key, VALUES.small(i), namespace);
      },
      async check(done) {
        checkSame(cache.position, done, 'the position');
        const { logError } = await cache.shutdown({ timeoutMs: 120_000 });
        check(logError === undefined, String(logError));
        const again = await AgentContextCache.open({ dataDir, natsUrl: null });
        checkSame(again.position, done, 'the position after a restart');
        await again.shutdown();
      },
    };
  },
};
