import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { createJetStream } from '../../src/cluster/jetstream/open-jetstream.ts';
import { AgentContextCache, type ContextCommand } from '../../src/index.ts';
import { AIRLINE_UPDATES, airlineLines, foldCommands } from '../support/airline.ts';
import { type Served, serve } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';
import { eventually, NatsCluster } from './support/nats-cluster.ts';
import { describeOn } from './support/releases.ts';

const isLong = process.env.CLUSTER === 'long';
const RELEASES = isLong ? (['2.10', '2.15'] as const) : (['2.15'] as const);

/** A process that serves a node, and a client of it. */
type Node = { readonly served: Served; readonly client: Awaited<ReturnType<typeof connect>> };

describeOn(RELEASES, 'three nodes on three servers', (release) => {
  let servers: NatsCluster;
  beforeAll(async () => {
    servers = await NatsCluster.start({ program: release.program });
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  const newCluster = (name: string) =>
    eventually(() => createJetStream({ servers: servers.urls, name }).then(() => true));

  test('apply the airline file at once by namespace, the leader being killed, and equal the independent fold', async () => {
    await newCluster('airline');
    const nodes = await Promise.all(
      ['a', 'b', 'c'].map((node) =>
        AgentContextCache.open({ cluster: { servers: servers.urls, name: 'airline', node } }),
      ),
    );
    const lines = airlineLines();
    const byNamespace = new Map<string, ContextCommand[]>();
    for (const line of lines) {
      const command = JSON.parse(line) as ContextCommand & { readonly namespace: string };
      byNamespace.set(command.namespace, [...(byNamespace.get(command.namespace) ?? []), command]);
    }
    const half = async (from: number, to: number) => {
      const asks = [...byNamespace.values()].flatMap((commands, index) => {
        const node = nodes[index % nodes.length] as AgentContextCache;
        const part = commands.slice(Math.floor(commands.length * from), Math.floor(commands.length * to));
        return part.map((command) => node.ask(command));
      });
      await Promise.all(asks);
    };
    await half(0, 0.5);
    const second = half(0.5, 1);
    const leader = await servers.leader('ACC_airline_0');
    await leader.kill();
    await second;
    await leader.start();
    await Promise.all(nodes.map((node) => node.barrier()));
    const { entries } = foldCommands(lines);
    for (const node of nodes) {
      expect(node.position).toBe(AIRLINE_UPDATES);
      for (const [namespace, folded] of entries) {
        const held = new Map<string, unknown>();
        for (const { key, value, version } of node.entries(namespace)) held.set(key, { value, version });
        expect(held).toEqual(folded);
      }
    }
    const digests = await Promise.all(nodes.map((node) => node.digest()));
    expect(new Set(digests).size).toBe(1);
    await Promise.all(nodes.map((node) => node.shutdown({ timeoutMs: 1_000 })));
  });

  test('lose nothing when one is killed, paused, or away while the stream is purged', async () => {
    await newCluster('processes');
    const folder = await tempDir('node-processes');
    const env = { CLUSTER_SERVERS: servers.urls.join() };
    const start = async (node: string): Promise<Node> => {
      const dataDir = join(folder, node);
      const args = ['--cluster', 'processes', '--node', node, '--snapshots', join(folder, 'snapshots')];
      const served = await serve(dataDir, args, { env });
      onTestFinished(() => served[Symbol.asyncDispose]());
      return { served, client: await connect(dataDir) };
    };
    const nodes = await Promise.all(['a', 'b', 'c'].map(start));
    const [a, b, c] = nodes as [Node, Node, Node];
    /** Keys of the writes that were acknowledged, by any node. */
    const done = new Set<string>();
    const write = async ({ client }: Node, prefix: string, count: number) => {
      const writes = Array.from({ length: count }, async (_, index) => {
        await client.set(`${prefix}-${index}`, index, 'all');
        done.add(`${prefix}-${index}`);
      });
      await Promise.allSettled(writes);
    };
    await Promise.all(nodes.map((node, index) => write(node, `first-${index}`, 100)));
    // Its directory has a cursor: a node that never wrote one would start from a snapshot.
    await c.client.flush();

    // Paused in the middle of its writes, and killed in the middle of others.
    const paused = write(b, 'paused', 100);
    process.kill(b.served.pid, 'SIGSTOP');
    const killed = write(c, 'killed', 100);
    process.kill(c.served.pid, 'SIGKILL');
    await write(a, 'meanwhile', 300);
    await killed;
    await c.client.shutdown({ timeoutMs: 0 });
    process.kill(b.served.pid, 'SIGCONT');
    await paused;

    // What the node that is away has not read is purged, so that it must start from a snapshot.
    await a.client.backup();
    await write(a, 'later', 50);
    await servers.manage(async ({ streams }) => {
      const { state } = await streams.info('ACC_processes_0');
      await a.client.backup();
      await streams.purge('ACC_processes_0', { seq: state.last_seq });
    });
    await expect(start('c')).rejects.toThrow(/POSITION_UNAVAILABLE.*at message \d+, and the stream starts at message/);
    rmSync(join(folder, 'c'), { recursive: true });
    const back = await start('c');
    const all = [a, b, back];
    const head = Math.max(...(await Promise.all(all.map(({ client }) => client.health()))).map(({ log }) => log.head));
    for (const { client } of all) {
      await eventually(async () => ((await client.health()).log.head >= head ? true : undefined));
      const keys = new Set<string>();
      for await (const key of client.keys('all')) keys.add(key);
      expect([...done].filter((key) => !keys.has(key))).toEqual([]);
    }
    const digests = await Promise.all(all.map(({ client }) => client.digest()));
    expect(new Set(digests).size).toBe(1);
    await Promise.all(all.map(({ client }) => client.shutdown()));
    await Promise.all(all.map(({ served }) => served.end()));
  });
});
