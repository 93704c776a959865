import { rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createCluster, refoundCluster } from '../../src/cluster.ts';
import { AgentContextCache } from '../../src/index.ts';
import { startRedis } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { NatsCluster } from './support/nats-cluster.ts';
import { describeOn } from './support/releases.ts';

describeOn(['2.10'], 'a cluster whose stream was lost', ({ program }) => {
  test('goes on from the directory of a node or from a snapshot; other directories are refused', async () => {
    await using redis = await startRedis();
    await using servers = await NatsCluster.start({ program, size: 1 });
    const [server] = servers.nodes;
    const snapshots = await tempDir('snapshots');
    const [dirOfA, dirOfB] = [await tempDir('a'), await tempDir('b')];
    const address = { servers: servers.urls, name: 'memory' };
    await createCluster({ ...address, replicas: 1 });
    const open = (node: string, dataDir?: string, given: object = { snapshots }) =>
      AgentContextCache.open({
        ...{ natsUrl: null, dataDir, redisUrl: redis.url, onError: () => {} },
        cluster: { ...address, node, ...given },
      });
    const a = await open('a', dirOfA);
    const b = await open('b', dirOfB);
    await b.set('plan', 1, 'trip', { operationId: 'o-1' });
    await b.backup();
    await b.shutdown();
    const refound = (options: object) => refoundCluster({ ...address, snapshots, replicas: 1, ...options });
    await expect(refound({ dataDir: dirOfA })).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
    await a.set('short', 1, 'trip', { ttl: '5m' });
    await a.addTopic('plans');
    await a.set('plan', 2, 'trip');
    const [position, digest] = [a.position, await a.digest()];
    await a.synced();
    await a.shutdown();
    // It works, so nothing may replace it.
    await expect(refound({ dataDir: dirOfA })).rejects.toMatchObject({ code: 'NOT_EMPTY' });

    await server?.kill();
    rmSync(server?.dir ?? '', { recursive: true });
    await server?.start();
    await expect(open('a', dirOfA)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const founded = await refound({ dataDir: dirOfA });
    expect(founded).toMatchObject({ position, last: undefined });

    for (const dir of [dirOfA, dirOfB]) {
      await expect(open('a', dir)).rejects.toMatchObject({
        code: 'LOG_CORRUPT',
        message: expect.stringMatching(/another stream.* Remove the directory/),
      });
    }
    await expect(open('alone', undefined, {})).rejects.toMatchObject({ code: 'POSITION_UNAVAILABLE' });
    const c = await open('c', await tempDir('c'));
    expect([c.position, await c.digest(), c.getTopicsList()]).toEqual([position, digest, ['plans']]);
    expect((await c.set('plan', 1, 'trip', { operationId: 'o-1' })).position).toBe(1);
    const d = await open('d');
    await d.set('plan', 3, 'trip');
    // The mirror and the snapshots go on with the new stream.
    await d.synced();
    await d.backup();
    await c.barrier();
    expect([c.get('plan', 'trip'), c.health().errors.count]).toEqual([3, 0]);
    expect(await d.digest()).toBe(await c.digest());
    await Promise.all([c.shutdown(), d.shutdown()]);

    // From a snapshot, which is older than the stream: only if that is forced.
    await expect(refound({})).rejects.toThrow(/messages would be lost/);
    expect(await refound({ force: true })).toMatchObject({ previousEpoch: founded.epoch, position: position + 1 });
    const e = await open('e');
    expect(e.get('plan', 'trip')).toBe(3);
    await e.shutdown();
  }, 60_000);
});
