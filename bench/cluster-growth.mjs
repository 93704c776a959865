// Shows how a cluster grows with its nodes. All of them run on this machine with their servers, so their number is limited by its
// processors: what a node needs of a processor for each write says what nodes with a processor each would reach.
import { missingNats, startNatsCluster } from './lib/cluster/nats-cluster.mjs';
import { checkEqual, longWarmUp, measureTogether, writerElsewhere } from './lib/cluster/writers-elsewhere.mjs';

const NAME = 'bench';
const IN_FLIGHT = 64;

export default {
  order: 17.6,
  title: 'a cluster: growth by nodes',
  about: 'three servers; all nodes write, 64 in flight each, on this one machine',
  metrics: {
    rate: { unit: '/s', better: 'more', what: 'here' },
    cpu: { unit: 'ns', better: 'less', what: 'processor of each node for a write of any' },
    computed: { unit: '/s', better: 'more', what: 'computed, with a processor for each node' },
  },
  cases: ({ quick }) =>
    [3, 5, 9].map((nodes) => ({ name: `${nodes} nodes`, headline: nodes === 9, nodes, ms: quick ? 1_000 : 3_000 })),
  candidates: [{ name: 'agent-context-cache', role: 'ours', skip: missingNats }],
  async measure({ dir, case: { nodes: count, ms } }) {
    const { urls, stop } = await startNatsCluster({ dir, name: NAME });
    const given = { kind: 'node', name: NAME, inFlight: IN_FLIGHT, urls };
    const nodes = await Promise.all(
      Array.from({ length: count }, (_, writer) => writerElsewhere({ ...given, writer })),
    );
    const { rate, cpu } = await measureTogether(nodes, ms, longWarmUp(ms));
    await checkEqual(nodes);
    for (const node of nodes) await node.close();
    await stop();
    return { rate, cpu, computed: 1e9 / cpu };
  },
  plots: ({ cases, metrics }) => ({
    nodes: {
      title: 'writes of a cluster by its nodes, 64 in flight each',
      x: 'nodes, with three servers',
      y: 'writes a second',
      lines: ['rate', 'computed'].map((metric) => ({
        name: metric === 'rate' ? 'on this one machine' : metrics[metric].what,
        limit: metric === 'computed',
        points: cases.flatMap(({ parameters, candidates: [own] }) => {
          const value = own.metrics?.[metric].median;
          return value === undefined ? [] : [[parameters.nodes, value]];
        }),
      })),
    },
  }),
};
