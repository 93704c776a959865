// Shows that opening, reading and writing cost the same however many updates the log holds.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { check, checkSame } from './lib/check.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { syncFiles } from './lib/sync.mjs';
import { VALUES } from './lib/values.mjs';

const KEYS = 10_000;
const NAMESPACES = 100;
const IN_FLIGHT = 256;
const WRITES_MS = 3_000;

export default {
  order: 16.5,
  title: 'growth by the length of the log',
  about: 'a data directory whose updates change ten thousand keys; the files are in the page cache',
  metrics: {
    open: { unit: 'ms', better: 'less', what: 'open' },
    first: { unit: 'ms', better: 'less', what: 'first get of a cold namespace' },
    rate: { unit: '/s', better: 'more', what: 'durable writes, 256 in flight' },
  },
  cases: ({ quick }) => (quick ? [logOf(5_000), logOf(20_000, true)] : [logOf(1e6), logOf(4e6), logOf(16e6, true)]),
  candidates: [{ name: 'agent-context-cache', role: 'ours' }],
  async prepare({ dir, case: { updates } }) {
    const cache = await AgentContextCache.open({ dataDir: join(dir, 'data'), natsUrl: null, durability: 'memory' });
    await write(cache, 4_096, (i) => i < updates);
    checkSame(cache.position, updates, 'the position');
    await cache.synced({ timeoutMs: 1_200_000 });
    await cache.shutdown({ timeoutMs: 1_200_000 });
  },
  async measure({ dir, shared, scale, case: { updates } }) {
    const dataDir = join(dir, 'data');
    cpSync(join(shared, 'data'), dataDir, { recursive: true });
    syncFiles(dataDir);
    const began = performance.now();
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    const open = performance.now() - began;
    const before = performance.now();
    const value = cache.get('key-0', 'agent/0');
    const first = performance.now() - before;
    check(value !== undefined, 'the first key is missing');
    const ms = scale.quick ? 100 : WRITES_MS;
    const start = performance.now();
    const done = await write(cache, IN_FLIGHT, () => performance.now() - start < ms);
    const rate = (done / (performance.now() - start)) * 1_000;
    checkSame(cache.position, updates + done, 'the position');
    await cache.shutdown({ timeoutMs: 120_000 });
    return { open, first, rate };
  },
  plots: (result) => ({
    ms: curves(result, ['open', 'first'], 'milliseconds'),
    rate: curves(result, ['rate'], 'writes a second'),
  }),
};

function logOf(updates, headline = false) {
  const shown = updates >= 1e6 ? `${updates / 1e6} million` : `${updates / 1e3} thousand`;
  return { name: `${shown} updates in the log`, headline, updates, rounds: updates > 4e6 ? 3 : undefined };
}

/** Keeps a number of writes in flight while `goesOn`, and returns how many there were. */
async function write(cache, inFlight, goesOn) {
  let next = 0;
  const worker = async () => {
    while (goesOn(next)) {
      const i = next;
      next += 1;
      await cache.set(`key-${i % KEYS}`, VALUES.small(i), `agent/${i % NAMESPACES}`);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return next;
}

function curves({ cases, metrics }, names, y) {
  const lines = names.map((metric) => ({
    name: metrics[metric].what,
    points: cases.flatMap(({ parameters, candidates: [own] }) => {
      const value = own.metrics?.[metric].median;
      return value === undefined ? [] : [[parameters.updates, value]];
    }),
  }));
  return { title: 'a directory by the length of its log', x: 'updates in the log', y, lines };
}
