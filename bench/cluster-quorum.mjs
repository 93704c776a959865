// Measures a node while most of the servers are down: what its waiting writes take, and how long they need afterwards.
import { setTimeout as wait } from 'node:timers/promises';
import { checkSame } from './lib/check.mjs';
import { missingNats, startNatsCluster } from './lib/cluster/nats-cluster.mjs';
import { checkEqual, writerElsewhere } from './lib/cluster/writers-elsewhere.mjs';

const NAME = 'bench';

export default {
  order: 17.5,
  title: 'a cluster: no quorum for 9 seconds',
  about: 'increments that one node has waiting while two of three servers are down; each must count once',
  metrics: {
    settled: { unit: 'ms', better: 'less', what: 'from the first acknowledgement to the last' },
    grown: { unit: 'bytes', better: 'less', what: 'memory of the node' },
    back: { unit: 'ms', better: 'less', what: 'from the start of the servers to the first acknowledgement' },
  },
  goals: [
    { metric: 'settled', atMost: 2_100, text: 'settled in 2.1 s' },
    { metric: 'grown', atMost: 33e6, text: 'at most 33 MB more memory' },
  ],
  cases: ({ quick }) => [
    quick
      ? { name: '1,000 writes', writes: 1_000, ms: 1_000 }
      : { name: '80,000 writes', headline: true, writes: 80_000, ms: 9_000 },
  ],
  candidates: [{ name: 'agent-context-cache', role: 'ours', skip: missingNats }],
  async measure({ dir, case: { writes, ms } }) {
    const cluster = await startNatsCluster({ dir, name: NAME });
    const given = { kind: 'node', name: NAME, inFlight: 1, urls: cluster.urls };
    const nodes = await Promise.all([0, 1, 2].map((writer) => writerElsewhere({ ...given, writer })));
    // Warms up the node, and its memory.
    await nodes[0].ask('burst', { count: writes });
    const down = cluster.servers.slice(1);
    await Promise.all(down.map((server) => server.kill()));
    const burst = nodes[0].ask('burst', { count: writes });
    await wait(ms);
    const startedAt = performance.timeOrigin + performance.now();
    await Promise.all(down.map((server) => server.start()));
    const { firstAt, lastAt, grown, sum } = await burst;
    checkSame(sum, 2 * writes, 'the sum of the increments');
    await checkEqual(nodes);
    for (const node of nodes) await node.close();
    await cluster.stop();
    return { settled: lastAt - firstAt, grown, back: firstAt - startedAt };
  },
};
