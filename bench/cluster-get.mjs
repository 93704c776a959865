// Measures what a read costs on a node of a cluster, beside a cache without one.
import { check, checkSame } from './lib/check.mjs';
import { missingNats, startNatsCluster } from './lib/cluster/nats-cluster.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { COST, nanosecondsPerOperation, paceOf } from './lib/passes.mjs';
import { makeSpace } from './lib/space.mjs';

const BURST = 10_000;

export default {
  order: 17.1,
  title: 'a cluster: `get`',
  about: 'a read of a number on a node, at random over all keys, in nanoseconds',
  metrics: COST,
  goals: [{ ofLimit: 1.1, text: 'as without a cluster (at most 1.1×)' }],
  cases: ({ quick }) => [{ name: '10 thousand keys, 1 namespace', headline: true, keys: quick ? 1_000 : 10_000 }],
  candidates: [
    { name: 'a cache without a cluster', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours', skip: missingNats },
  ],
  async measure({ candidate, dir, case: { keys }, scale, seed }) {
    const { count, namespaceOf, keyOf, order } = makeSpace({ keys, namespaces: 1 }, seed);
    const servers = candidate === 'agent-context-cache' ? await startNatsCluster({ dir, name: 'bench' }) : undefined;
    const cluster = servers && { servers: servers.urls, name: 'bench' };
    const cache = await AgentContextCache.open({ natsUrl: null, cluster });
    await Promise.all(Array.from({ length: count }, (_, i) => cache.set(keyOf[i], i, namespaceOf[i])));
    let sum = 0;
    let expected = 0;
    const read = (from, many) => {
      for (let j = from; j < from + many; j += 1) {
        const i = order[j % count];
        sum += cache.get(keyOf[i], namespaceOf[i]);
      }
    };
    const { done, ...cost } = await nanosecondsPerOperation(read, paceOf(scale), BURST);
    for (let j = 0; j < done; j += 1) expected += order[j % count];
    checkSame(sum, expected, `the sum of ${done} reads`);
    check(done > 0, 'nothing was read');
    await cache.shutdown();
    await servers?.stop();
    return cost;
  },
};
