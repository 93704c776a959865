// Measures the memory that a key takes besides itself and its value, and that a namespace takes, resident and passivated.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { check, checkSame, sample } from './lib/check.mjs';
import { fill } from './lib/fill.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { collect } from './lib/passes.mjs';
import { makeSpace } from './lib/space.mjs';
import { IN_MEMORY, makeStore, storesAsCandidates } from './lib/stores.mjs';

const PASSIVATED = 'passivated';

export default {
  order: 15,
  title: 'memory',
  about: 'bytes of heap a key or a namespace takes, after a collection; keys and values (numbers) are there beforehand',
  metrics: { bytes: { unit: 'bytes', better: 'less', what: '' } },
  cases: ({ quick }) => {
    const keys = quick ? 5_000 : 1_000_000;
    const many = quick ? 1_000 : 100_000;
    const shown = (count) => (count === 1_000_000 ? '1 million' : count.toLocaleString('en'));
    return [
      {
        name: `a key, ${shown(keys)} in a namespace`,
        headline: true,
        goals: [{ metric: 'bytes', atMost: 100, text: 'at most 100 bytes' }],
        keys,
        namespaces: 1,
        per: keys,
      },
      {
        name: `a namespace in memory, ${shown(many)} with a key each`,
        headline: true,
        goals: [{ metric: 'bytes', atMost: 2_000, text: 'at most 2 KB' }],
        keys: many,
        namespaces: many,
        per: many,
      },
      {
        name: `a passivated namespace, ${shown(many)} with a key each`,
        headline: true,
        goals: [{ metric: 'bytes', atMost: 200, text: 'at most 200 bytes' }],
        keys: many,
        namespaces: many,
        per: many,
        [PASSIVATED]: true,
      },
    ];
  },
  candidates: storesAsCandidates(...IN_MEMORY).map((candidate) => ({
    ...candidate,
    suits: (oneCase) => candidate.suits(oneCase) && (!oneCase[PASSIVATED] || candidate.role === 'ours'),
  })),
  async measure({ candidate, case: { keys, namespaces, per, passivated }, dir, seed }) {
    const space = makeSpace({ keys, namespaces }, seed);
    const values = Array.from({ length: keys }, (_, i) => i);
    const warm = await makeStore(candidate, { keys: 10 });
    await fill(warm, makeSpace({ keys: 10, namespaces: 1 }), (i) => i);
    const before = await heap();
    const store = passivated
      ? await passivatedStore(dir, space)
      : await makeStore(candidate, { keys, namespaces, space });
    if (!passivated) await fill(store, space, (i) => values[i]);
    const bytes = (await heap()) - before;
    for (const i of sample(keys)) {
      checkSame(await store.get(space.namespaceOf[i], space.keyOf[i]), i, `key ${i}`);
    }
    await store.close?.();
    await warm.close?.();
    return { bytes: bytes / per };
  },
};

/** Collects until nothing more is freed: the memory of a closed database is released over several collections. */
async function heap() {
  let least = Number.POSITIVE_INFINITY;
  for (let inVain = 0; inVain < 3; ) {
    await sleep(20);
    collect();
    const { heapUsed, external } = process.memoryUsage();
    inVain = heapUsed + external < 0.999 * least ? 0 : inVain + 1;
    least = Math.min(least, heapUsed + external);
  }
  return least;
}

/** Returns the cache opened again with all namespaces on disk and none in memory. */
async function passivatedStore(dir, space) {
  const dataDir = join(dir, 'data');
  const { filledCache } = await import('./lib/directory.mjs');
  const first = await filledCache(dataDir, space, (i) => i);
  await first.shutdown({ timeoutMs: 600_000 });
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  const { total, resident } = cache.health().namespaces;
  check(total >= space.names.length && resident <= 1, `${resident} of ${total} namespaces are in memory`);
  return { get: (namespace, key) => cache.get(key, namespace), close: () => cache.shutdown() };
}
