import { afterAll, beforeAll, expect, test } from 'vitest';
import { clusterStatus, createCluster, refoundCluster } from '../../src/cluster.ts';
import { AgentContextCache } from '../../src/index.ts';
import { ended, start } from '../support/cli.ts';
import { buildDist } from '../support/dist.ts';
import { startRedis } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { eventually, NatsCluster } from './support/nats-cluster.ts';
import { describeOn } from './support/releases.ts';
import { TcpProxy } from './support/tcp-proxy.ts';

const MIB = 1024 ** 2;

describeOn(['2.15'], 'a refounding that is killed after it has deleted the old stream', ({ program }) => {
  let servers: NatsCluster;
  beforeAll(async () => {
    await buildDist();
    servers = await NatsCluster.start({ program, size: 1 });
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  const addressOf = (name: string) => ({ servers: servers.urls, name });

  /** Opens a node, which joins from the snapshots if there are any. */
  const open = (name: string, node: string, dataDir: string, snapshots: string) =>
    AgentContextCache.open({ natsUrl: null, dataDir, cluster: { ...addressOf(name), node, snapshots } });

  /** Runs the command, holds its request to create the stream, and kills it there. */
  async function kill(name: string, dataDir: string, snapshots: string, flags: readonly string[]): Promise<void> {
    await using proxy = await TcpProxy.start(servers.nodes[0]?.port ?? 0);
    const creates = proxy.holdAt(`$JS.API.STREAM.CREATE.ACC_${name}_0`);
    const args = ['--cluster', name, '--data-dir', dataDir, '--snapshots', snapshots, '--force', ...flags];
    const child = start(['cluster', 'refound', ...args], { env: { CLUSTER_SERVERS: proxy.url } });
    const end = ended(child);
    // Undefined: it has not ended by itself.
    expect(await Promise.race([creates, end])).toBeUndefined();
    child.kill('SIGKILL');
    await end;
  }

  test('is repeated, with replicas and size of the old stream, and nothing is lost', async () => {
    const [name, snapshots, dir] = ['plain', await tempDir('snapshots'), await tempDir('a')];
    await createCluster({ ...addressOf(name), replicas: 1, maxBytes: 48 * MIB });
    const a = await open(name, 'a', dir, snapshots);
    await a.set('plan', 1, 'trip', { operationId: 'o-1' });
    await a.addTopic('plans');
    await a.set('plan', 2, 'trip');
    const [position, digest] = [a.position, await a.digest()];
    await a.shutdown();

    await kill(name, dir, snapshots, []);
    await expect(clusterStatus(addressOf(name))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const founded = await refoundCluster({ ...addressOf(name), dataDir: dir, snapshots });
    const { epoch } = founded;
    expect(founded).toMatchObject({ position, last: undefined });
    expect(await clusterStatus(addressOf(name))).toMatchObject({ epoch, replicas: 1, maxBytes: 48 * MIB, last: 1 });

    const b = await open(name, 'b', await tempDir('b'), snapshots);
    expect([b.position, await b.digest(), b.getTopicsList()]).toEqual([position, digest, ['plans']]);
    expect((await b.set('plan', 1, 'trip', { operationId: 'o-1' })).position).toBe(1);
    await b.shutdown();
  });

  test('is repeated with the size that it was given, not with that of its state', async () => {
    await using redis = await startRedis();
    const [name, dirs] = ['given', [await tempDir('a'), await tempDir('b')] as const];
    await createCluster({ ...addressOf(name), replicas: 1 });
    const a = await open(name, 'a', dirs[0], redis.url);
    await a.set('plan', 1, 'trip');
    await a.shutdown();
    const refound = (options: object) => refoundCluster({ ...addressOf(name), snapshots: redis.url, ...options });
    await refound({ dataDir: dirs[0], force: true, maxBytes: 48 * MIB });
    // The state of this node knows the size of its stream.
    const b = await open(name, 'b', dirs[1], redis.url);
    await b.set('plan', 2, 'trip');
    const position = b.position;
    await b.shutdown();

    await kill(name, dirs[1], redis.url, ['--max-bytes', '32']);
    // The snapshots in Redis belong to the killed process for 15 s.
    const { epoch } = await eventually(() => refound({ dataDir: dirs[1] }));
    expect(await clusterStatus(addressOf(name))).toMatchObject({ epoch, replicas: 1, maxBytes: 32 * MIB });
    const c = await open(name, 'c', await tempDir('c'), redis.url);
    expect([c.position, c.get('plan', 'trip')]).toEqual([position, 2]);
    await c.shutdown();
  });
});
