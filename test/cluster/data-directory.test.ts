import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Machine } from '../../src/cluster/machine/machine.ts';
import { cursorIn, keepCursor } from '../../src/cluster/open/cursor.ts';
import { AgentContextCache } from '../../src/index.ts';
import { MemoryConfigStore } from '../../src/storage/config-store.ts';
import { openNode } from '../support/cluster.ts';
import { buildDist } from '../support/dist.ts';
import { FaultFiles } from '../support/fault-files.ts';
import { MemoryStream } from '../support/memory-stream.ts';
import { ModelReplica } from '../support/model-replica.ts';
import { tempDir } from '../support/temp-dir.ts';
import { NatsCluster } from './support/nats-cluster.ts';
import { describeOn } from './support/releases.ts';

describe('a node with a data directory', () => {
  test('goes on at its own cursor, reading only the messages after it', async () => {
    const stream = new MemoryStream();
    const dataDir = await tempDir('node');
    const options = { dataDir, node: 'a' };
    const first = await openNode(stream.connect(), options);
    await first.set('plan', 1, 'trip', { ttl: 60_000 });
    await first.addTopic('plans');
    const other = await openNode(stream.connect(), { node: 'b' });
    await other.barrier();
    await first.shutdown();
    const before = stream.last;
    await other.set('plan', 2, 'trip');
    // Gone for whoever starts from nothing, so that a start at the cursor shows.
    stream.purge(before);
    const again = await openNode(stream.connect(), options);
    expect([again.get('plan', 'trip'), again.getTopicsList(), again.position]).toEqual([2, ['plans'], 2]);
    expect(await again.digest()).toBe(await other.digest());
    await other.barrier();
    await again.barrier();
    await other.reached(again.position);
    expect(again.health().cluster?.hash).toBeTypeOf('number');
    await Promise.all([again.shutdown(), other.shutdown()]);
  });

  test('waits for a disk that fails, while the others go on, and is equal to them when it works again', async () => {
    const stream = new MemoryStream();
    const files = new FaultFiles();
    const other = await openNode(stream.connect(), { node: 'b' });
    const node = await openNode(stream.connect(), { dataDir: await tempDir('node'), internals: { files } });
    await other.set('plan', 1);
    await node.barrier();
    files.decide = ({ path }) => (path.includes('log') ? 'lost' : 'done');
    files.refuse = (call) => call === 'create';
    for (let i = 0; node.health().cluster?.status !== 'stalled'; i += 1) {
      await other.set('plan', i);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(node.health()).toMatchObject({ status: 'degraded', cluster: { failure: { code: 'LOG_UNAVAILABLE' } } });
    const written = node.set('mine', 1);
    expect((await other.set('plan', 'later')).changed).toBe(true);
    files.decide = () => 'done';
    files.refuse = () => false;
    expect((await written).changed).toBe(true);
    await other.barrier();
    await node.barrier();
    await other.reached(node.position);
    expect([node.get('plan'), other.get('mine')]).toEqual(['later', 1]);
    expect(await node.digest()).toBe(await other.digest());
    expect(node.health().cluster?.status).toBe('ready');
    await Promise.all([node.shutdown(), other.shutdown()]);
  }, 20_000);

  test('refuses a directory that was no node, that belongs to another stream, or whose messages were discarded', async () => {
    const stream = new MemoryStream();
    const alone = await tempDir('alone');
    await using cache = await AgentContextCache.open({ dataDir: alone });
    await cache.set('plan', 1);
    await cache.shutdown();
    await expect(openNode(stream.connect(), { dataDir: alone })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    const dataDir = await tempDir('node');
    const node = await openNode(stream.connect(), { dataDir });
    await node.set('plan', 1);
    await node.shutdown();
    const other = new MemoryStream();
    other.epoch = 'refounded';
    await expect(openNode(other.connect(), { dataDir })).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    // An empty directory with a log of its own gives its snapshots an id with which no node could join.
    const empty = await tempDir('empty');
    await (await AgentContextCache.open({ dataDir: empty })).shutdown();
    await expect(openNode(stream.connect(), { dataDir: empty })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    // A node that has read no data yet.
    const early = await tempDir('early');
    await (await openNode(other.connect(), { dataDir: early })).shutdown();
    await (await openNode(other.connect(), { dataDir: early })).shutdown();
    other.epoch = 'refounded again';
    await expect(openNode(other.connect(), { dataDir: early })).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    for (let i = 0; i < 3; i += 1) stream.append(Buffer.from('later'));
    stream.purge(stream.last - 1);
    await expect(openNode(stream.connect(), { dataDir })).rejects.toMatchObject({ code: 'POSITION_UNAVAILABLE' });
  });
});

test('a cursor that a snapshot brings replaces the sessions of one that was left behind', async () => {
  const settings = new MemoryConfigStore();
  const hello = { type: 'hello', node: 'n', version: '1', minProtocol: 1, maxProtocol: 1, predecessor: null } as const;
  const [machine, other] = [new Machine(new ModelReplica()), new Machine(new ModelReplica())];
  machine.sessions.hello('old', hello, 1_000);
  await keepCursor(settings, machine.stored());
  other.sessions.hello('new', hello, 2_000);
  await keepCursor(settings, other.stored());
  expect(cursorIn(settings)?.machine).toEqual(other.stored());
});

describeOn(['2.10'], 'a node with a data directory that is killed', ({ program }) => {
  beforeAll(buildDist, 120_000);

  test('loses nothing: a restart goes on at the cursor, equal to the others', async () => {
    await using servers = await NatsCluster.start({ program, size: 1 });
    const dataDir = await tempDir('killed');
    const cluster = { servers: servers.urls, name: 'memory', replicas: 1 };
    await using other = await AgentContextCache.open({ cluster: { ...cluster, node: 'other' } });
    const child = (seconds: string) =>
      spawn(
        process.execPath,
        [join(import.meta.dirname, 'support/node-child.mjs'), JSON.stringify(cluster), dataDir, seconds],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
    for (let round = 0; round < 2; round += 1) {
      const running = child('60');
      await once(running.stdout, 'data');
      for (let i = 0; i < 20; i += 1) await other.increment('other', 1, 'all');
      running.kill('SIGKILL');
      await once(running, 'exit');
      for (let i = 0; i < 5; i += 1) await other.set(`k${i}`, round, 'all');
    }
    const report = child('0');
    const [line] = (await once(report.stdout, 'data')) as [Buffer];
    await once(report, 'exit');
    const { digest, acknowledged, position } = JSON.parse(String(line)) as Record<string, unknown>;
    await other.reached(position as number);
    expect(digest).toBe(await other.digest());
    expect(other.get('other', 'all')).toBe(40);
    expect(acknowledged).toBe(other.get('mine', 'all'));
  }, 60_000);
});
