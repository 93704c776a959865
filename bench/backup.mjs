// Measures what a snapshot of a million keys does to other work: how long it blocks the event loop, and how much speed it
// leaves. The limit encodes the same entries in slices of a few milliseconds and stores nothing.
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { check, checkSame, sample } from './lib/check.mjs';
import { PAUSES, watchLoop } from './lib/loop.mjs';
import { AgentContextCache, DirectorySnapshotStore, encodeRow } from './lib/ours.mjs';
import { collectYoung } from './lib/passes.mjs';
import { makeSpace } from './lib/space.mjs';
import { VALUES } from './lib/values.mjs';

const BURST = 100;
const STRETCH_MS = 4;

export default {
  order: 14,
  title: 'a backup under load',
  about: 'milliseconds of a turn of the event loop in which 100 objects are set, while a snapshot is taken',
  metrics: {
    ...PAUSES,
    rate: { unit: '/s', better: 'more', what: 'load' },
    took: { unit: 'ms', better: 'less', what: 'took' },
    left: { unit: 'share', better: 'more', what: 'of the load without it' },
  },
  goals: [
    { metric: 'p99', atMost: 10, text: 'p99 at most 10 ms' },
    { metric: 'longest', atMost: 50, text: 'longest at most 50 ms' },
    { metric: 'left', atLeast: 0.5, text: 'load at half speed or more' },
  ],
  cases: ({ quick }) => [
    quick
      ? { name: '5,000 keys', keys: 5_000, namespaces: 10, ms: 100 }
      : { name: '1 million keys in 100 namespaces', headline: true, keys: 1_000_000, namespaces: 100, ms: 3_000 },
  ],
  candidates: [
    { name: 'encode alone, in stretches', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
    { name: 'the load alone', role: 'yardstick' },
  ],
  async measure({ candidate, case: oneCase, dir, seed }) {
    const space = makeSpace(oneCase, seed);
    const folder = join(dir, 'backups');
    const cache = new AgentContextCache({ natsUrl: null, backup: { store: new DirectorySnapshotStore(folder) } });
    for (let i = 0; i < space.count; i += 1) {
      cache.set(space.keyOf[i], VALUES.small(i), space.namespaceOf[i]);
      if (i % 1_000 === 999) await nextTurn();
    }
    const load = makeLoad(cache, space);
    await load.during(new Promise((resolve) => setTimeout(resolve, oneCase.ms / 3)));
    collectYoung();
    const alone = await load.during(new Promise((resolve) => setTimeout(resolve, oneCase.ms)));
    collectYoung();
    if (candidate === 'the load alone') return finish(cache, load, alone);
    const busy = await load.during(BUSY[candidate](cache, space));
    if (candidate === 'agent-context-cache') await isWhole(folder, space, load.written);
    return finish(cache, load, { ...busy, left: busy.rate / alone.rate });
  },
};

async function finish(cache, { check: checkLoad }, result) {
  checkLoad();
  await cache.shutdown();
  return result;
}

const BUSY = {
  'agent-context-cache': (cache) => cache.backup(),
  'encode alone, in stretches': async (cache, { names }) => {
    let bytes = 0;
    let since = performance.now();
    for (const name of names) {
      for (const entry of cache.entries(name)) {
        bytes += encodeRow(entry.key, { ...entry, bytes: 64 }).length;
        if (performance.now() - since < STRETCH_MS) continue;
        await nextTurn();
        since = performance.now();
      }
    }
    check(bytes > 0, 'nothing was encoded');
  },
};

/** Overwrites random keys, 100 per turn, while other work is running. */
function makeLoad(cache, { count, keyOf, namespaceOf, order }) {
  let next = count;
  const last = Float64Array.from({ length: count }, (_, i) => i);
  return {
    get written() {
      return next - count;
    },
    async during(work) {
      let over = false;
      const done = Promise.resolve(work).finally(() => {
        over = true;
      });
      const from = next;
      const began = performance.now();
      const loop = watchLoop();
      while (!over) {
        for (let j = 0; j < BURST; j += 1) {
          const i = order[next % count];
          cache.set(keyOf[i], VALUES.small(next), namespaceOf[i]);
          last[i] = next;
          next += 1;
        }
        await nextTurn();
        loop.turn();
      }
      await done;
      const took = performance.now() - began;
      return { ...loop.stop(), rate: ((next - from) / took) * 1_000, took };
    },
    check() {
      for (const i of sample(count)) checkSame(cache.get(keyOf[i], namespaceOf[i]), VALUES.small(last[i]), `key ${i}`);
    },
  };
}

/** Checks that every key is in the snapshot, with a value that was once stored under it. */
async function isWhole(folder, { count, keyOf, namespaceOf, order }, written) {
  const restored = await AgentContextCache.open({ restoreFrom: folder, natsUrl: null });
  for (const at of sample(count)) {
    const i = order[at];
    const value = restored.get(keyOf[i], namespaceOf[i]);
    const { age } = value;
    check(
      age === i || (age >= count && age < count + written && order[age % count] === i),
      `key ${i} has value ${age}`,
    );
    checkSame(value, VALUES.small(age), `key ${i} in the snapshot`);
  }
  await restored.shutdown();
}
