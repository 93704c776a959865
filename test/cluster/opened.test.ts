import { connect } from '@nats-io/transport-node';
import { expect, test, vi } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache } from '../../src/index.ts';
import { NatsCluster } from './support/nats-cluster.ts';
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
