import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import type { StreamMessage } from '../../src/cluster/command-stream.ts';
import { Outbox } from '../../src/cluster/outbox.ts';
import type { AgentContextCache } from '../../src/index.ts';
import { clusterOf, type NodeOptions, openNode } from '../support/cluster.ts';
import { startRedis } from '../support/servers.ts';
import { listOf, type Member, rest, SlowStore, TimedCluster } from './support/timed-cluster.ts';

describe('a node that holds leases', () => {
  test('tries a purge that fails again with growing pauses, and reports it once', async () => {
    const cluster = new TimedCluster();
    const errors: string[] = [];
    const options: NodeOptions = {
      sharesSnapshots: true,
      backup: { store: new MemorySnapshotStore() },
      onError: (error) => errors.push(error.message),
    };
    const a = await cluster.join('a', options);
    const [{ connection }] = cluster.members as [Member];
    const { purge } = connection;
    let calls = 0;
    connection.purge = () => {
      calls += 1;
      return Promise.reject(new Error('The user may not purge.'));
    };
    await cluster.until(() => cluster.lease('backup') === 'a');
    for (let i = 1; i <= 3; i += 1) {
      await a.set('plan', i);
      await a.backup();
    }
    await cluster.pass(60_000);
    expect(calls).toBeGreaterThan(3);
    expect(calls).toBeLessThan(8);
    expect(errors).toEqual(['The user may not purge.']);
    expect(a.health().cluster?.failure?.message).toBe('The user may not purge.');
    connection.purge = purge;
    await cluster.until(() => cluster.stream.info().first > 1);
    expect(a.health().cluster?.failure).toBeUndefined();
  });

  test('shuts down within one deadline, and reports commands without outcome and updates that were not delivered', async () => {
    await using redis = await startRedis();
    const cluster = new TimedCluster();
    const a = await cluster.join('a', { redisUrl: redis.url, topics: ['plans'], natsUrl: 'nats://127.0.0.1:1' });
    await cluster.join('b', { redisUrl: redis.url });
    const [{ clock, connection }] = cluster.members as [Member];
    await cluster.until(() => cluster.lease('mirror') === 'a' && cluster.lease('broadcaster') === 'a');
    await redis[Symbol.asyncDispose]();
    await a.set('plan', 1, 'plans');
    connection.cut();
    const write = a.set('plan', 2, 'plans').catch((error) => error.code);
    const since = clock.now();
    let report: Awaited<ReturnType<typeof a.shutdown>> | undefined;
    void a.shutdown({ timeoutMs: 4_000 }).then((given) => {
      report = given;
    });
    await cluster.until(() => report !== undefined);
    expect(clock.now() - since).toBeLessThan(6_000);
    expect(await write).toBe('LOG_UNAVAILABLE');
    expect(report).toMatchObject({ unfinishedCommands: true });
    expect(report?.undelivered.map(({ follower, updates }) => [follower, updates]).toSorted()).toEqual([
      ['broadcaster', 1],
      ['mirror', 1],
    ]);
  });

  test('hands its work over at once when it is shut down', async () => {
    await using redis = await startRedis();
    const cluster = new TimedCluster();
    const options: NodeOptions = {
      ...{ redisUrl: redis.url, sharesSnapshots: true, backup: { store: new MemorySnapshotStore() } },
    };
    const a = await cluster.join('a', options);
    const b = await cluster.join('b', options);
    await cluster.until(() => cluster.lease('mirror') === 'a' && cluster.lease('backup') === 'a');
    await a.set('plan', 1);
    // Redis answers in real time, which the clock of the nodes does not wait for.
    await vi.waitFor(() => expect(a.health().followers.find(({ name }) => name === 'mirror')?.lag).toBe(0), 5_000);
    let report: Awaited<ReturnType<typeof a.shutdown>> | undefined;
    void a.shutdown({ timeoutMs: 4_000 }).then((given) => {
      report = given;
    });
    await cluster.until(() => report !== undefined);
    expect(report).toMatchObject({ undelivered: [], unfinishedCommands: false });
    await cluster.pass(1_500);
    expect([cluster.lease('mirror'), cluster.lease('backup')]).toEqual(['b', 'b']);
    expect((await b.set('plan', 2)).version).toBe(2);
    await cluster.pass(1_000);
  });

  test('purges up to exactly the second newest whole snapshot, and no other', async () => {
    const store = new MemorySnapshotStore();
    const cluster = new TimedCluster();
    const a = await cluster.join('a', { sharesSnapshots: true, backup: { store } });
    await cluster.until(() => cluster.lease('backup') === 'a');
    const sequences: number[] = [];
    const take = async () => {
      await a.set('plan', sequences.length);
      const asked = a.backup();
      await cluster.pass(1_500);
      const { id } = await asked;
      const taken = (await listOf(a)).find((backup) => backup.id === id);
      sequences.push(taken?.sequence ?? 0);
    };
    await take();
    expect(cluster.stream.info().first).toBe(1);
    await take();
    expect(cluster.stream.info().first).toBe((sequences[0] ?? 0) + 1);
    const known = new Set(await store.list('part-'));
    await take();
    expect(cluster.stream.info().first).toBe((sequences[1] ?? 0) + 1);
    // One that is not whole does not count.
    for (const part of await store.list('part-')) if (!known.has(part)) await store.remove([part]);
    await take();
    const whole = (await listOf(a)).filter(({ whole }) => whole);
    expect(whole.map(({ sequence }) => sequence)).not.toContain(sequences[2]);
    expect(cluster.stream.info().first).toBe((sequences[1] ?? 0) + 1);
  });

  test('a holder that was paused in the middle of a snapshot does not purge when it wakes', async () => {
    const store = new SlowStore();
    const cluster = new TimedCluster();
    const options: NodeOptions = { sharesSnapshots: true, backup: { store } };
    const a = await cluster.join('a', options);
    await cluster.join('b', options);
    const [paused] = cluster.members as [Member];
    await cluster.until(() => cluster.lease('backup') === 'a');
    for (let i = 0; i < 2; i += 1) {
      await a.set('plan', i);
      const asked = a.backup();
      await cluster.pass(1_500);
      await asked;
    }
    const purges: number[] = [];
    const { purge } = paused.connection;
    paused.connection.purge = (upTo) => {
      purges.push(upTo);
      return purge.call(paused.connection, upTo);
    };
    const { first } = cluster.stream.info();
    // It stands still in the middle of a snapshot.
    store.hold();
    await a.set('plan', 2);
    const asked = a.backup().catch((error) => error.code);
    await cluster.until(() => store.isWaiting);
    paused.connection.cut();
    await cluster.until(() => cluster.lease('backup') === 'b', paused);
    paused.connection.restore();
    store.release();
    for (let i = 0; i < 20; i += 1) await rest();
    await cluster.pass(3_000);
    await asked;
    expect(purges).toEqual([]);
    expect(cluster.stream.info().first).toBeGreaterThanOrEqual(first);
  });

  test('sends the return of a lease behind its renewal, and both before writes that wait', () => {
    let isOpen = false;
    const outbox = new Outbox('s', {
      ...{
        elapsed: () => 0,
        publish: () => Promise.resolve(1),
        isOpen: () => isOpen,
        seen: () => ({ sequence: 0, hash: 0 }),
      },
      ...{ again: () => {}, rewound: () => {}, reason: () => undefined, maxQueued: 9, writeTimeoutMs: 1_000 },
    });
    outbox.add({ type: 'noop' }, () => {});
    for (const forMs of [10_000, 0]) outbox.add({ type: 'lease', name: 'mirror', forMs }, () => {}, true);
    isOpen = true;
    outbox.flush();
    expect(outbox.message('s', 1)?.commands).toMatchObject([{ forMs: 10_000 }, { forMs: 0 }, { type: 'noop' }]);
  });
});

describe('a node that joins under load', () => {
  test('joins although others write while it reads what was written', async () => {
    const cluster = await clusterOf(2);
    const [a, b] = cluster.nodes as [AgentContextCache, AgentContextCache];
    for (let i = 0; i < 80; i += 1) await a.set(`k${i}`, i, 'trip');
    const slow = cluster.stream.connect();
    const follow = slow.follow.bind(slow);
    let last = Promise.resolve();
    slow.follow = (after, receive, failed) => {
      const later = (message: StreamMessage) => {
        last = last.then(() => sleep(10)).then(() => receive(message));
      };
      return follow(after, later, failed);
    };
    let isJoining = true;
    const writing = (async () => {
      for (let i = 0; isJoining; i += 1) {
        await b.set('n', i);
        await sleep(25);
      }
    })();
    const joined = openNode(slow, { writeTimeoutMs: 300 }).finally(() => {
      isJoining = false;
    });
    await expect(joined).resolves.toBeDefined();
    await writing;
    await (await joined).shutdown({ timeoutMs: 0 });
  });
});
