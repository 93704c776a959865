// Measures how long a node takes to join a cluster under load: it takes the newest snapshot, reads what was written since, and says
// hello.

import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { check } from './lib/check.mjs';
import { missingNats, startNatsCluster } from './lib/cluster/nats-cluster.mjs';
import { checkEqual, measureTogether, writerElsewhere } from './lib/cluster/writers-elsewhere.mjs';
import { AgentContextCache } from './lib/ours.mjs';

const NAME = 'bench';
const IN_FLIGHT = 16;

export default {
  order: 17.4,
  title: 'a cluster: joining',
  about: 'milliseconds from `open` until a node without data is ready, while two others write, 16 in flight each',
  metrics: {
    ready: { unit: 'ms', better: 'less', what: 'ready' },
    quiet: { unit: 'ms', better: 'less', what: 'without load' },
  },
  cases: ({ quick }) => {
    const sizes = quick ? [1_000] : [1_000, 10_000, 100_000, 1_000_000];
    return sizes.map((keys) => ({
      name: `${keys.toLocaleString('en')} keys in 1,000 namespaces`,
      headline: keys === sizes.at(-1),
      goals: keys === 1_000_000 ? [{ metric: 'ready', atMost: 3_000, text: 'at most 3 s under load' }] : [],
      keys,
      ms: quick ? 2_000 : 10_000,
    }));
  },
  candidates: [{ name: 'agent-context-cache', role: 'ours', skip: missingNats }],
  async measure({ dir, case: { keys, ms } }) {
    const cluster = await startNatsCluster({ dir, name: NAME });
    const { urls } = cluster;
    const snapshots = join(dir, 'snapshots');
    const given = { kind: 'node', name: NAME, inFlight: IN_FLIGHT, urls, snapshots };
    const nodes = await Promise.all([0, 1].map((writer) => writerElsewhere({ ...given, writer })));
    for (let done = 0; done < keys; done += 100_000) {
      await nodes[0].ask('fill', { from: done, keys: Math.min(keys - done, 100_000) });
    }
    await nodes[0].ask('backup');
    const opened = async (node) => {
      const began = performance.now();
      const options = { servers: urls, name: NAME, node, snapshots };
      const cache = await AgentContextCache.open({ natsUrl: null, cluster: options });
      const time = performance.now() - began;
      check(cache.get(`filled-${keys - 1}`, `agent/${(keys - 1) % 1_000}`) !== undefined, 'a key is missing');
      await cache.shutdown({ timeoutMs: 10_000 });
      return time;
    };
    const quiet = await opened('quiet');
    const load = measureTogether(nodes, ms);
    await wait(ms / 2);
    const ready = await opened('joining');
    await load;
    await checkEqual(nodes);
    for (const node of nodes) await node.close();
    await cluster.stop();
    return { ready, quiet };
  },
  plots: ({ cases, metrics }) => ({
    keys: {
      title: 'a node joins',
      x: 'keys',
      y: 'milliseconds until it is ready',
      lines: Object.keys(metrics).map((metric) => ({
        name: metric === 'ready' ? 'two others write' : 'no load',
        points: cases.flatMap(({ parameters, candidates: [own] }) => {
          const value = own.metrics?.[metric].median;
          return value === undefined ? [] : [[parameters.keys, value]];
        }),
      })),
    },
  }),
};
