import { expect, test } from 'vitest';
import { createJetStream, openJetStream } from '../../src/cluster/jetstream/open-jetstream.ts';
import type { AgentContextCache } from '../../src/index.ts';
import { openNode } from '../support/cluster.ts';
import { eventually, NatsCluster } from './support/nats-cluster.ts';
import { describeOn } from './support/releases.ts';

describeOn(['2.10'], 'caches on a real cluster of NATS servers', ({ program }) => {
  test('write on all nodes at once, and are equal, also one that joins later and while a server is gone', async () => {
    await using servers = await NatsCluster.start({ program });
    const options = { servers: servers.nodes.map(({ url }) => url), name: 'memory' };
    await eventually(() => createJetStream(options).then(() => true));
    const nodes: AgentContextCache[] = [];
    for (let i = 0; i < 3; i += 1) nodes.push(await openNode(await openJetStream(options), { node: `n-${i}` }));
    const [a, b, c] = nodes;
    if (a === undefined || b === undefined || c === undefined) throw new Error('There are no nodes.');
    const write = (round: number) =>
      Promise.all(
        nodes.flatMap((node, index) =>
          Array.from({ length: 100 }, (_, i) => [
            node.increment('count', 1, 'all'),
            node.set(`k${i}`, [round, index, i], 'all', { ttl: 60_000 }),
          ]).flat(),
        ),
      );
    await write(1);
    await servers.nodes[1]?.kill();
    await write(2);
    const late = await openNode(await openJetStream(options), { node: 'late' });
    nodes.push(late);
    await Promise.all(nodes.map((node) => node.barrier()));
    expect(nodes.map((node) => node.get('count', 'all'))).toEqual([600, 600, 600, 600]);
    const digests = await Promise.all(nodes.map((node) => node.digest()));
    expect(new Set(digests).size).toBe(1);
    expect(late.health().cluster).toMatchObject({ status: 'ready', replicas: 3 });
    await Promise.all(nodes.map((node) => node.shutdown({ timeoutMs: 1_000 })));
  }, 60_000);
});
