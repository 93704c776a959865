// Measures how many writes a second three nodes of a cluster have acknowledged, on three servers, by the writes that each node has
// in flight. Everything runs on this machine, so servers and nodes share its processors.
import { missingNats, startNatsCluster } from './lib/cluster/nats-cluster.mjs';
import { checkEqual, longWarmUp, measureTogether, writerElsewhere } from './lib/cluster/writers-elsewhere.mjs';
import { startServer } from './lib/servers.mjs';

const WRITERS = 3;
const NAME = 'bench';

export default {
  order: 17,
  title: 'a cluster: writes',
  about:
    'acknowledged writes of a small object by three processes at once; three nodes with three servers (three replicas) beside three clients of one Redis without a replica',
  metrics: {
    rate: { unit: '/s', better: 'more', what: '' },
    p50: { unit: 'ms', better: 'less', what: 'p50' },
    cpu: { unit: 'ns', better: 'less', what: 'processor of each process for a write of any' },
  },
  ratioStyle: 'share',
  cases: ({ quick }) => {
    const ms = quick ? 1_000 : 3_000;
    const oneCase = (inFlight, syncAlways, goals) => ({
      name: `${inFlight.toLocaleString('en')} in flight a node, ${syncAlways ? 'sync_interval: always' : 'default sync'}`,
      ...{ headline: goals.length > 0, inFlight, syncAlways, ms, goals },
    });
    return [
      oneCase(1, false, [{ ofLimit: 0.6, text: '60 % of a raw publish' }]),
      oneCase(1, true, [{ ofLimit: 0.7, text: '70 % of a raw publish' }]),
      oneCase(64, false, [
        { ahead: 0.75, of: ['Redis, appendfsync everysec'], text: '0.75× Redis everysec' },
        { metric: 'p50', atMost: 1, text: 'p50 at most 1 ms' },
      ]),
      oneCase(64, true, []),
      oneCase(1_024, false, [{ ahead: 1.1, of: ['Redis, appendfsync everysec'], text: '1.1× Redis everysec' }]),
      oneCase(1_024, true, [{ ahead: 1.4, of: ['Redis, appendfsync always'], text: '1.4× Redis always' }]),
    ];
  },
  candidates: [
    { name: 'raw publish, packed alike', role: 'limit', skip: missingNats },
    { name: 'agent-context-cache', role: 'ours', skip: missingNats },
    { name: 'Redis, appendfsync everysec', role: 'rival', suits: ({ syncAlways }) => !syncAlways },
    { name: 'Redis, appendfsync always', role: 'rival', suits: ({ syncAlways }) => syncAlways },
    { name: 'cacheable with Redis', role: 'rival' },
  ],
  async measure({ candidate, dir, case: { inFlight, syncAlways, ms } }) {
    const kind = KINDS[candidate];
    const servers = await (kind === 'raw' || kind === 'node' ? natsIn : redisIn)(dir, syncAlways);
    const given = { kind, name: NAME, inFlight, ...servers.found };
    const writers = await Promise.all(
      Array.from({ length: WRITERS }, (_, writer) => writerElsewhere({ ...given, writer })),
    );
    const { rate, p50, cpu } = await measureTogether(writers, ms, longWarmUp(ms));
    if (kind === 'node') await checkEqual(writers);
    for (const writer of writers) await writer.close();
    await servers.stop();
    return { rate, p50, cpu };
  },
};

const KINDS = {
  'raw publish, packed alike': 'raw',
  'agent-context-cache': 'node',
  'Redis, appendfsync everysec': 'redis',
  'Redis, appendfsync always': 'redis',
  'cacheable with Redis': 'cacheable',
};

async function natsIn(dir, syncAlways) {
  const { urls, stop } = await startNatsCluster({ dir, name: NAME, syncAlways });
  return { found: { urls }, stop };
}

async function redisIn(dir, syncAlways) {
  const args = ['--appendonly', 'yes', '--appendfsync', syncAlways ? 'always' : 'everysec'];
  const server = await startServer('redis', dir, args);
  if (server === undefined) throw new Error('There is no redis-server on this machine.');
  return { found: { redis: server.url }, stop: server.stop };
}
