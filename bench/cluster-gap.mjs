// Measures how long no write is acknowledged when a server of a cluster ends.
import { setTimeout as wait } from 'node:timers/promises';
import { missingNats, startNatsCluster } from './lib/cluster/nats-cluster.mjs';
import { checkEqual, measureTogether, writerElsewhere } from './lib/cluster/writers-elsewhere.mjs';

const NAME = 'bench';
const IN_FLIGHT = 16;

export default {
  order: 17.3,
  title: 'a cluster: the end of a server',
  about: 'longest time without an acknowledged write, with three nodes on three servers, 16 writes in flight a node',
  metrics: {
    gap: { unit: 'ms', better: 'less', what: 'of all nodes' },
    slowest: { unit: 'ms', better: 'less', what: 'of one node' },
  },
  cases: ({ quick }) => {
    const ms = quick ? 15_000 : 20_000;
    const ended = (name, atMost, text) => ({ name, headline: true, ms, goals: [{ metric: 'gap', atMost, text }] });
    return [
      ended('the leader of the stream is killed', 4_500, 'at most 4.5 s'),
      ended('another server is killed', 100, 'none (at most 0.1 s)'),
      ended('the leader is stopped in order', 1_100, 'at most 1.1 s'),
    ];
  },
  candidates: [{ name: 'agent-context-cache', role: 'ours', skip: missingNats }],
  async measure({ dir, case: { name, ms } }) {
    const cluster = await startNatsCluster({ dir, name: NAME });
    const given = { kind: 'node', name: NAME, inFlight: IN_FLIGHT, urls: cluster.urls };
    const nodes = await Promise.all([0, 1, 2].map((writer) => writerElsewhere({ ...given, writer })));
    const measured = measureTogether(nodes, ms);
    // Half of the time is a warm-up.
    await wait(ms / 2 + 1_000);
    const leader = await cluster.leader();
    const other = cluster.servers.find((server) => server !== leader);
    if (name.startsWith('another')) await other.kill();
    else if (name.endsWith('killed')) await leader.kill();
    else await leader.stop();
    const { gap, slowest } = await measured;
    await checkEqual(nodes);
    for (const node of nodes) await node.close();
    await cluster.stop();
    return { gap, slowest };
  },
};
