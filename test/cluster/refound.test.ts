import { rmSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { RedisSnapshotStore } from '../../src/backup.ts';
import { lastingAnswer } from '../../src/cluster/jetstream/lasting.ts';
import { replaceStream } from '../../src/cluster/jetstream/replace-stream.ts';
import type { StoredMachine } from '../../src/cluster/machine/machine.ts';
import { checkRefounding } from '../../src/cluster/open/refound-checks.ts';
import { clusterStatus, createCluster, refoundCluster } from '../../src/cluster.ts';
import { systemClock } from '../../src/core/clock.ts';
import { AgentContextCache } from '../../src/index.ts';
import { startRedis } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { eventually, NatsCluster } from './support/nats-cluster.ts';
import { describeOn } from './support/releases.ts';

test('a state is refused if a snapshot of a later or another stream is stored, but not for what a failed attempt has left', () => {
  const machine = { sequence: 40, position: 10 } as StoredMachine;
  const check = (log: string, sequence: number, position: number, continues: readonly string[]) => () =>
    checkRefounding({
      ...{ old: undefined, machine, previousEpoch: 'e1', ancestors: ['e0'], force: false },
      known: { id: 'snap', log, sequence, position, continues },
    });
  const refused = expect.objectContaining({ code: 'POSITION_UNAVAILABLE' });
  expect(check('e2', 7, 10, ['e1'])).toThrow(refused);
  expect(check('e2', 0, 11, ['e1'])).toThrow(refused);
  expect(check('other', 3, 5, [])).toThrow(refused);
  expect(check('e1', 41, 11, [])).toThrow(refused);
  for (const fine of [check('e2', 0, 10, ['e1']), check('e1', 40, 10, []), check('e0', 90, 9, [])]) {
    expect(fine).not.toThrow();
  }
});

test('an answer about the stream is believed once it has lasted for 3 s', async () => {
  let time = 0;
  const later = (run: () => void, ms: number) => {
    time += ms;
    queueMicrotask(run);
  };
  const clock = { ...systemClock, now: () => time, elapsed: () => time, setTimeout: later };
  const answers = ['gone', 'gone', 'e1 9'];
  const ask = async () => answers.shift() ?? 'e1 12';
  expect(await lastingAnswer(ask, (answer) => answer, clock)).toEqual({ answer: 'e1 12', isCertain: true });
  expect(time).toBeGreaterThanOrEqual(4_500);
  const { isCertain } = await lastingAnswer(
    async () => `e1 ${time}`,
    (answer) => answer,
    clock,
  );
  expect(isCertain).toBe(false);
});

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

    // Settings that the server cannot have change nothing, and an attempt that failed does not block the next one.
    const before = await clusterStatus(address);
    const store = new RedisSnapshotStore({ url: redis.url });
    const again = (given: object) => refound({ dataDir: dirOfA, force: true, snapshots: store, ...given });
    for (const given of [{ replicas: 2 }, { replicas: 3 }, { maxBytes: 0 }]) {
      await expect(again(given)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
    expect((await clusterStatus(address)).epoch).toBe(before.epoch);
    // Another stream is replaced, whose messages say nothing about what is lost.
    expect((await again({ replicas: undefined })).last).toBeUndefined();
    expect(await clusterStatus(address)).toMatchObject({ replicas: 1, last: 1 });
    await store.close();
  }, 60_000);
});

describeOn(['2.10'], 'a cluster of three servers', ({ program }) => {
  test('keeps its stream if it cannot hold the new one, and has no trial left when it can', async () => {
    await using servers = await NatsCluster.start({ program });
    const address = { servers: servers.urls, name: 'memory' };
    const snapshots = await tempDir('snapshots');
    await eventually(() => createCluster({ ...address, replicas: 1 }).then(() => true));
    const node = await AgentContextCache.open({ natsUrl: null, cluster: { ...address, snapshots } });
    await node.set('plan', 1, 'trip');
    await node.backup();
    await node.shutdown();
    const { epoch, last } = await clusterStatus(address);
    const refound = (given: object) => refoundCluster({ ...address, snapshots, force: true, ...given });
    for (const given of [{ replicas: 5 }, { maxBytes: Number.MAX_SAFE_INTEGER }]) {
      const refusal = await refound(given).catch((error) => error);
      expect(await clusterStatus(address)).toMatchObject({ epoch, last });
      expect(refusal).toMatchObject({
        code: 'BACKEND_FAILED',
        message: expect.stringMatching(/ACC_memory_trial.* Nothing was deleted\. Start more servers/),
      });
    }
    expect(await refound({ replicas: 3 })).toMatchObject({ previousEpoch: epoch });
    const names = await servers.manage(({ streams }) => streams.names().next());
    expect(names).toEqual(['ACC_memory_0']);
  });
});

describeOn(['2.10'], 'a cluster of three servers with little room', ({ program }) => {
  const maxBytes = 64 * 1024 ** 2;
  const start = async (given: { readonly replicas: number; readonly space: readonly number[] }) => {
    const servers = await NatsCluster.start({ program, space: given.space.map((times) => times * maxBytes) });
    onTestFinished(() => servers[Symbol.asyncDispose]());
    const address = { servers: servers.urls, name: 'memory' };
    const snapshots = await tempDir('snapshots');
    await eventually(() => createCluster({ ...address, replicas: given.replicas, maxBytes }).then(() => true));
    const node = await AgentContextCache.open({ natsUrl: null, cluster: { ...address, snapshots } });
    await node.set('plan', 1, 'trip');
    await node.backup();
    await node.shutdown();
    const refound = (options: object) => refoundCluster({ ...address, snapshots, ...options });
    return { servers, refound, status: () => clusterStatus(address) };
  };

  test('replaces a stream that takes most of it, and one that was lost', async () => {
    const { servers, refound, status } = await start({ replicas: 3, space: [1.5, 1.5, 1.5] });
    const { epoch } = await refound({ force: true });
    expect(await status()).toMatchObject({ epoch, replicas: 3, maxBytes, last: 1 });
    await servers.manage(({ streams }) => streams.delete('ACC_memory_0'));
    // Too large: the attempts end after 30 s of this clock, which runs fast, and the settings to repeat it with are named.
    const clock = { ...systemClock, elapsed: () => 30 * performance.now() };
    const tooLarge = { replicas: 3, maxBytes: 2 * maxBytes, epoch: 'e', first: new Uint8Array(1), clock };
    await expect(replaceStream({ servers: servers.urls, name: 'memory', ...tooLarge })).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringMatching(/ACC_memory_0: .* repeat the call with replicas 3 and .* 134217728 bytes/),
    });
    // Nothing but the snapshot of the last attempt says how large the stream was.
    const { epoch: another } = await refound({});
    expect(await status()).toMatchObject({ epoch: another, replicas: 3, maxBytes, last: 1 });
  });

  test('keeps its stream if servers that did not have it cannot hold it', async () => {
    const { refound, status } = await start({ replicas: 1, space: [1.5, 0.5, 0.5] });
    const { epoch, last } = await status();
    const refusal = await refound({ force: true, replicas: 3 }).catch((error) => error);
    expect(await status()).toMatchObject({ epoch, last, replicas: 1 });
    expect(refusal).toMatchObject({ code: 'BACKEND_FAILED', message: expect.stringMatching(/Nothing was deleted\./) });
  });
});
