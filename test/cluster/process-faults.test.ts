import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createJetStream } from '../../src/cluster/jetstream/open-jetstream.ts';
import { RedisContextCache } from '../../src/index.ts';
import { buildDist, projectRoot } from '../support/dist.ts';
import { startRedis } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { FaultyNode, type FaultyOptions } from './support/faulty-node.ts';
import { copyOf, eventually, NatsCluster } from './support/nats-cluster.ts';
import { describeOn } from './support/releases.ts';

const isLong = process.env.CLUSTER === 'long';
const RELEASES = isLong ? (['2.10', '2.15'] as const) : (['2.15'] as const);
/** Bits that are flipped, each in another node. */
const FLIPS = isLong ? 20 : 1;

describeOn(RELEASES, 'nodes as processes with faults', ({ program, line }) => {
  let servers: NatsCluster;
  beforeAll(async () => {
    await buildDist();
    servers = await NatsCluster.start({ program, size: 1 });
  }, 180_000);
  afterAll(() => servers[Symbol.asyncDispose]());

  /** Starts nodes of a new cluster. */
  async function clusterOf(name: string, nodes: readonly string[], options: Partial<FaultyOptions> = {}) {
    await createJetStream({ servers: servers.urls, name, replicas: 1 });
    const start = (node: string, own: Partial<FaultyOptions> = {}) =>
      FaultyNode.start({ ...options, ...own, cluster: { servers: servers.urls, name, node } });
    return { start, nodes: await Promise.all(nodes.map((node) => start(node))) };
  }

  async function areEqual(nodes: readonly FaultyNode[]): Promise<readonly string[]> {
    await Promise.all(nodes.map((node) => node.ask('barrier')));
    const states = await Promise.all(nodes.map((node) => node.ask('state')));
    for (const state of states) expect(state).toEqual(states[0]);
    return states[0]?.keys ?? [];
  }

  test('are voted out if a bit of their memory has flipped, while the others go on and stay equal', async () => {
    const { start, nodes } = await clusterOf('flips', ['a', 'b', 'c']);
    const acknowledged = new Set<string>();
    const found: number[] = [];
    for (let flip = 0; flip < FLIPS; flip += 1) {
      const index = flip % nodes.length;
      const broken = nodes[index] as FaultyNode;
      const others = nodes.filter((node) => node !== broken);
      for (const key of (await broken.ask('write', { prefix: `before-${flip}`, count: 16 })) ?? [])
        acknowledged.add(key);
      await broken.ask('flip');
      const began = performance.now();
      let isFound = false;
      const writes = others.map(async (node, which) => {
        for (let i = 0; !isFound; i += 1) {
          const done = await node.ask('write', { prefix: `w-${flip}-${which}-${i}`, count: 16 });
          for (const key of done) acknowledged.add(key);
        }
      });
      await eventually(async () => {
        const { cluster } = await broken.ask('health');
        return cluster?.status === 'failed' ? true : undefined;
      });
      found.push(performance.now() - began);
      isFound = true;
      await Promise.all(writes);
      await expect(broken.ask('get', { key: 'before-0-0' })).rejects.toMatchObject({
        code: 'LOG_CORRUPT',
        message: expect.stringMatching(/another state than this one.*Start it again without its data/),
      });
      const keys = new Set(await areEqual(others));
      expect([...acknowledged].filter((key) => !keys.has(key))).toEqual([]);
      broken.process.kill('SIGKILL');
      nodes[index] = await start(['a', 'b', 'c'][index] as string);
    }
    await areEqual(nodes);
    console.info(line, `${FLIPS} flipped bits found within ${found.map((ms) => Math.round(ms)).join(', ')} ms`);
  }, 600_000);

  test.runIf(isLong)(
    'leave service with a remedy if the stream was restored from an older copy',
    async () => {
      await using own = await NatsCluster.start({ program, size: 1 });
      const [server] = own.nodes;
      if (server === undefined) throw new Error('The cluster has no servers.');
      await createJetStream({ servers: own.urls, name: 'rewound', replicas: 1 });
      const start = (node: string) => FaultyNode.start({ cluster: { servers: own.urls, name: 'rewound', node } });
      const nodes = [await start('a'), await start('b')];
      await nodes[0]?.ask('write', { prefix: 'old', count: 50 });
      await server.stop();
      const copy = copyOf(server);
      await server.start();
      const written = await eventually(async () => {
        const keys = await nodes[1]?.ask('write', { prefix: `new-${performance.now()}`, count: 50 });
        return keys?.length === 50 ? keys : undefined;
      });
      expect(written).toHaveLength(50);
      await server.kill();
      copy.restore();
      await server.start();
      for (const node of nodes) {
        await eventually(async () => ((await node.ask('health')).cluster?.status === 'failed' ? true : undefined));
        const { cluster } = await node.ask('health');
        expect(cluster?.failure).toMatchObject({ code: 'LOG_CORRUPT', message: expect.stringMatching(/older copy/) });
        await expect(node.ask('get', { key: 'old-0' })).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
      }
    },
    300_000,
  );

  test.runIf(isLong)(
    'hand a lease over while its holder is paused, which harms nothing when it wakes',
    async () => {
      await using redis = await startRedis();
      await using mirror = new RedisContextCache({ url: redis.url });
      const names = ['a', 'b', 'c'] as const;
      const { nodes } = await clusterOf('leases', names, { redisUrl: redis.url });
      const holderOf = (asked: FaultyNode) =>
        eventually(async () => {
          const { cluster } = await asked.ask('health');
          return cluster?.leases.find(({ name }) => name === 'mirror')?.node;
        });
      const acknowledged = new Set<string>();
      for (let round = 0; round < 3; round += 1) {
        const holder = await holderOf(nodes[0] as FaultyNode);
        const paused = nodes[names.indexOf(holder as 'a')] as FaultyNode;
        const others = nodes.filter((node) => node !== paused);
        const write = async (node: FaultyNode, prefix: string) => {
          for (const key of await node.ask('write', { prefix: `${prefix}-${round}`, count: 100 }))
            acknowledged.add(key);
        };
        // In the middle of its own writes.
        const own = write(paused, 'own');
        paused.process.kill('SIGSTOP');
        await write(others[0] as FaultyNode, 'meanwhile');
        await eventually(async () => {
          const { cluster } = await (others[0] as FaultyNode).ask('health');
          const now = cluster?.leases.find(({ name }) => name === 'mirror')?.node;
          return now !== undefined && now !== holder ? true : undefined;
        });
        await write(others[1] as FaultyNode, 'after');
        paused.process.kill('SIGCONT');
        await own;
        await write(paused, 'awake');
        const keys = await areEqual(nodes);
        expect([...acknowledged].filter((key) => !keys.includes(key))).toEqual([]);
        await eventually(async () => {
          const mirrored = await Promise.all(keys.map((key) => mirror.get(key, 'all')));
          return mirrored.every((value) => value !== undefined) ? true : undefined;
        });
      }
    },
    300_000,
  );

  test.runIf(isLong)(
    'of two builds of the package work in one cluster and know of each other',
    async () => {
      const build = await otherBuild();
      const { nodes, start } = await clusterOf('builds', ['old-1', 'old-2']);
      const internals = { protocols: { min: 1, max: 2 } };
      const other = await start('new', { build, internals });
      const all = [...nodes, other];
      const writes = all.map((node, index) => node.ask('write', { prefix: `w-${index}`, count: 200 }));
      const keys = (await Promise.all(writes)).flat();
      expect((await areEqual(all)).toSorted()).toEqual(keys.toSorted());
      for (const node of all) {
        const { cluster } = await node.ask('health');
        expect(new Set(cluster?.members.map(({ version }) => version))).toContain('99.0.0');
        expect(cluster?.members).toHaveLength(3);
      }
      // The old ones are replaced one by one, and the protocol is raised when the last of them is gone.
      const [first, second] = nodes as [FaultyNode, FaultyNode];
      await first.ask('close');
      const later = await start('new-2', { build, internals });
      await expect(later.ask('raise', { protocol: 2 })).rejects.toMatchObject({
        code: 'FORMAT_UNSUPPORTED',
        message: expect.stringMatching(/do not understand protocol 2: .*old-2 \(version .*: 1 to 1\)/),
      });
      await second.ask('close');
      await later.ask('write', { prefix: 'later', count: 50 });
      expect(await eventually(() => later.ask('raise', { protocol: 2 }))).toBe(2);
      expect(await areEqual([other, later])).toHaveLength(650);
      expect((await other.ask('health')).cluster?.protocol).toBe(2);
      await expect(start('old-3')).rejects.toThrow(/did not start/);
    },
    300_000,
  );
});

/** Copies the built package to another folder, under another version. */
async function otherBuild(): Promise<string> {
  const folder = await tempDir('build');
  await cp(join(projectRoot, 'dist'), join(folder, 'dist'), { recursive: true });
  const about = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8')) as object;
  await writeFile(join(folder, 'package.json'), JSON.stringify({ ...about, version: '99.0.0' }));
  await mkdir(join(folder, 'dist'), { recursive: true });
  await symlink(join(projectRoot, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}
