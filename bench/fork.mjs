// Measures how long it takes to fork a cache, a large one beside a small one, in memory and in a directory.
// After `npm run build`: `node bench/fork.mjs [keys] [namespaces]`
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentContextCache } from '../dist/src/index.js';

const keys = Number(process.argv[2] ?? 1_000_000);
const namespaces = Number(process.argv[3] ?? 1_000);
const SMALL_KEYS = 1_000;
const FORKS = 200;

async function filled(dataDir, count, spread) {
  // The log in memory must hold everything, so that there is a past.
  const log = dataDir === undefined ? { capacityUpdates: 4_000_000, capacityBytes: 2 ** 32 } : {};
  const cache = await AgentContextCache.open({ dataDir, log, durability: 'memory', sync: false });
  const each = count / spread;
  for (let n = 0; n < spread; n += 1) {
    const pairs = Array.from({ length: each }, (_, i) => [`k${i}`, { n, i }]);
    void cache.setMany(pairs, `agent/${n}`, { agent: 'bench' });
    if (n % 20 === 0) await cache.flush();
  }
  await cache.flush();
  await cache.synced({ timeoutMs: 600_000 });
  return cache;
}

function micros(times, part) {
  const sorted = [...times].sort((a, b) => a - b);
  const time = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return `${(time * 1_000).toFixed(0)} µs`;
}

async function timed(times, act) {
  const began = performance.now();
  const result = await act();
  times.push(performance.now() - began);
  return result;
}

async function compare(kind, dirs) {
  const caches = {
    [`${keys} keys in ${namespaces} namespaces`]: [await filled(dirs[0], keys, namespaces), namespaces],
    [`${SMALL_KEYS} keys in 10 namespaces`]: [await filled(dirs[1], SMALL_KEYS, 10), 10],
  };
  const rows = Object.entries(caches).map(([name, [cache, spread]]) => ({
    name,
    cache,
    spread,
    times: {
      fork: [],
      'fork one update earlier': [],
      'get, first': [],
      'get, again': [],
      'set, first': [],
      shutdown: [],
    },
  }));
  for (let round = -20; round < FORKS; round += 1) {
    // Alternating, so that other load on the machine affects both.
    for (const { cache, spread, times } of round % 2 === 0 ? rows : [...rows].reverse()) {
      const into = round < 0 ? Object.fromEntries(Object.keys(times).map((name) => [name, []])) : times;
      const namespace = `agent/${Math.abs(round) % spread}`;
      const branch = await timed(into.fork, () => cache.fork());
      const at = cache.position - 1;
      const earlier = await timed(into['fork one update earlier'], () => cache.fork({ at }));
      const value = await timed(into['get, first'], () => branch.get('k1', namespace));
      if (value?.i !== 1) throw new Error(`The branch has lost k1 of ${namespace}.`);
      await timed(into['get, again'], () => branch.get('k2', namespace));
      await timed(into['set, first'], () => branch.set('k1', round, namespace));
      if (branch.get('k1', namespace) !== round || cache.get('k1', namespace)?.i !== 1)
        throw new Error('Not a branch.');
      await timed(into.shutdown, async () => {
        await branch.shutdown();
        await earlier.shutdown();
      });
    }
  }
  console.log(`\n${kind}: medians (and 99th percentiles) of ${FORKS}`);
  for (const what of Object.keys(rows[0].times)) {
    const figures = rows.map(
      ({ name, times }) => `${micros(times[what], 0.5)} (${micros(times[what], 0.99)}) of ${name}`,
    );
    console.log(`  ${what}: ${figures.join('; ')}`);
  }
  const [{ cache }] = rows;
  const began = performance.now();
  const place = await mkdtemp(join(tmpdir(), 'bench-fork-'));
  const copied = await cache.fork({ dataDir: place, sync: false });
  console.log(`  into a directory of its own: ${(performance.now() - began).toFixed(0)} ms`);
  await copied.shutdown();
  await rm(place, { recursive: true });
  for (const each of rows) await each.cache.shutdown();
}

await compare('in memory', [undefined, undefined]);
const dirs = [await mkdtemp(join(tmpdir(), 'bench-fork-')), await mkdtemp(join(tmpdir(), 'bench-fork-'))];
await compare('in a directory', dirs);
for (const dir of dirs) await rm(dir, { recursive: true });
