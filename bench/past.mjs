// Measures how long reading one namespace at a random position of the past takes, in a long log over many namespaces.
import { join } from 'node:path';
import { check, checkSame } from './lib/check.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { quantile } from './lib/passes.mjs';
import { randomFrom } from './lib/random.mjs';

const TEXT = 'x'.repeat(200);
const KEYS = 50;

export default {
  order: 18,
  title: 'the past of a namespace',
  about: 'milliseconds for all entries of a namespace at a position by chance',
  metrics: {
    p99: { unit: 'ms', better: 'less', what: 'p99' },
    p50: { unit: 'ms', better: 'less', what: 'p50' },
    slowest: { unit: 'ms', better: 'less', what: 'slowest' },
    keyP99: { unit: 'ms', better: 'less', what: 'one key p99' },
    bisect: { unit: 'ms', better: 'less', what: 'bisect' },
  },
  goals: [{ metric: 'p99', atMost: 100, text: 'p99 at most 100 ms' }],
  cases: ({ quick }) => [
    quick
      ? { name: '5,000 updates over 50 namespaces', updates: 5_000, namespaces: 50, looks: 100 }
      : {
          name: '1 million updates over 1,000 namespaces',
          headline: true,
          updates: 1_000_000,
          namespaces: 1_000,
          looks: 1_000,
        },
  ],
  candidates: [{ name: 'agent-context-cache', role: 'ours' }],
  async prepare({ dir, case: { updates, namespaces }, seed }) {
    const cache = await AgentContextCache.open({ dataDir: join(dir, 'data'), natsUrl: null, durability: 'memory' });
    for (const { i, namespace, key } of recording(updates, namespaces, seed)) {
      cache.set(key, { i, text: TEXT }, namespace, { agent: 'bench' });
      if (i % 2_000 === 0) await cache.flush();
    }
    await cache.flush();
    await cache.synced({ timeoutMs: 1_200_000 });
    await cache.shutdown({ timeoutMs: 60_000 });
  },
  async measure({ case: { updates, namespaces, looks }, shared, seed, round }) {
    const cache = await AgentContextCache.open({ dataDir: join(shared, 'data'), natsUrl: null });
    checkSame(cache.position, updates, 'the position');
    const random = randomFrom(seed + round);
    const [all, one] = [[], []];
    for (let n = 0; n < looks; n += 1) {
      const view = cache.at(1 + random.below(updates));
      const namespace = `agent/${random.below(namespaces)}`;
      let began = performance.now();
      const entries = view.entries(namespace);
      all.push(performance.now() - began);
      const key = `k${random.below(KEYS)}`;
      began = performance.now();
      const value = cache.at(view.position).get(key, namespace);
      one.push(performance.now() - began);
      checkSame(value, entries.find((entry) => entry.key === key)?.value, `${key} of ${namespace}`);
      for (const { value: found } of entries) check(found.i < view.position, 'an entry is of later than it may be');
    }
    isTheFold(cache, {
      updates,
      namespaces,
      seed,
      at: 1 + random.below(updates),
      namespace: `agent/${random.below(namespaces)}`,
    });
    const began = performance.now();
    const culprit = await cache.bisect((view) => view.position < updates / 3);
    const bisect = performance.now() - began;
    checkSame(culprit.update.position, Math.ceil(updates / 3), 'the update that bisect found');
    await cache.shutdown();
    return {
      p99: quantile(all, 0.99),
      p50: quantile(all, 0.5),
      slowest: Math.max(...all),
      keyP99: quantile(one, 0.99),
      bisect,
    };
  },
};

/** Returns the same updates every time: a tenth of the namespaces get half of them. */
function* recording(updates, namespaces, seed) {
  const random = randomFrom(seed);
  for (let i = 0; i < updates; i += 1) {
    const namespace = `agent/${random.below(i % 2 === 0 ? namespaces / 10 : namespaces)}`;
    yield { i, namespace, key: `k${random.below(KEYS)}` };
  }
}

function isTheFold(cache, { updates, namespaces, seed, at, namespace }) {
  const expected = new Map();
  for (const update of recording(updates, namespaces, seed)) {
    if (update.i >= at) break;
    if (update.namespace === namespace) expected.set(update.key, { i: update.i, text: TEXT });
  }
  const found = new Map(
    cache
      .at(at)
      .entries(namespace)
      .map(({ key, value }) => [key, value]),
  );
  checkSame(found, expected, `${namespace} at ${at}`);
}
