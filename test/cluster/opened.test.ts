import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { createJetStream } from '../../src/cluster/jetstream/open-jetstream.ts';
import { AgentContextCache } from '../../src/index.ts';
import { cacheSuite } from '../../src/testing/cache-suite.ts';
import { eventually, NatsCluster } from './support/nats-cluster.ts';
import { describeOn } from './support/releases.ts';

describeOn(['2.10'], 'a cluster opened by the option', ({ program }) => {
  test('is one memory: nodes write, join from a snapshot, leave, and are equal', async () => {
    await using servers = await NatsCluster.start({ program, size: 1 });
    const snapshots = new MemorySnapshotStore();
    const cluster = { servers: servers.urls, name: 'memory', replicas: 1, snapshots };
    const [natsUrl] = servers.urls;
    const open = (node: string) => AgentContextCache.open({ natsUrl, cluster: { ...cluster, node } });
    await using a = await open('a');
    await using b = await open('b');
    const { position } = await a.set('plan', ['search', 'book'], 'trip');
    await b.reached(position);
    expect(b.get('plan', 'trip')).toEqual(['search', 'book']);
    await Promise.all([a, b].flatMap((node) => Array.from({ length: 50 }, () => node.increment('n', 1, 'all'))));
    await a.backup();
    await a.set('later', 1, 'trip');
    await using c = await open('c');
    await c.barrier();
    expect([c.get('n', 'all'), c.get('later', 'trip'), c.position]).toEqual([100, 1, a.position]);
    expect(await c.digest()).toBe(await a.digest());
    const { cluster: health } = c.health();
    expect(health).toMatchObject({ status: 'ready', node: 'c', replicas: 1 });
    expect(health?.members.map(({ node }) => node).sort()).toEqual(['a', 'b', 'c']);

    // Each update is published once, whichever node has written it.
    const subscriber = await connect({ servers: servers.urls });
    const heard: string[] = [];
    subscriber.subscribe('plans', {
      callback: (_error, message) => {
        heard.push(message.json<{ event_data: { key: string } }>().event_data.key);
      },
    });
    await subscriber.flush();
    await b.addTopic('plans');
    await Promise.all([a.set('k-a', 1), b.set('k-b', 1), c.set('k-c', 1)]);
    await vi.waitFor(() => expect(heard.toSorted()).toEqual(['k-a', 'k-b', 'k-c']), 15_000);
    expect([a, b, c].map((node) => node.getTopicsList())).toEqual([['plans'], ['plans'], ['plans']]);
    await subscriber.close();
  }, 60_000);
});

const isLong = process.env.CLUSTER === 'long';
/** One check in so many runs in the short form, which has one server instead of three. */
const ONE_IN = isLong ? 1 : 8;
const SERVERS = isLong ? 3 : 1;

describeOn(isLong ? ['2.10', '2.15'] : ['2.15'], 'a node of three that is opened by the option', ({ program }) => {
  let servers: NatsCluster;
  let clusters = 0;
  let checks = 0;
  beforeAll(async () => {
    servers = await NatsCluster.start({ program, size: SERVERS });
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  cacheSuite({
    test: (name, run) => {
      checks += 1;
      if (checks % ONE_IN === 0) test(name, run, 60_000);
    },
    visible: 'when resolved',
    async open() {
      clusters += 1;
      const cluster = { servers: servers.urls, name: `suite-${clusters}` };
      // A stream reserves its greatest size.
      const stream = { ...cluster, replicas: SERVERS, maxBytes: 16 * 1024 ** 2 };
      await eventually(() => createJetStream(stream).then(() => true));
      const open = (node: string) =>
        AgentContextCache.open({
          natsUrl: null,
          onError: () => {},
          cluster: { ...cluster, node, snapshots: new MemorySnapshotStore() },
          backup: { enabled: false },
        });
      const cache = await open('a');
      const others = [await open('b'), await open('c')];
      const dispose = async () => {
        // Whatever the test did on one node, all have come to it.
        const nodes = [cache, ...others];
        await cache.barrier();
        await Promise.all(others.map((node) => node.barrier()));
        // An entry may expire between two barriers.
        const digests = async () => new Set(await Promise.all(nodes.map((node) => node.digest())));
        await vi.waitFor(async () => expect((await digests()).size).toBe(1), 10_000);
        await Promise.all(nodes.map((node) => node.shutdown({ timeoutMs: 1_000 })));
      };
      return { cache, dispose };
    },
  });
});
