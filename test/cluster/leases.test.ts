import { describe, expect, test } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import { AccessDeniedError, type AgentContextCache, RedisContextCache } from '../../src/index.ts';
import type { NodeOptions } from '../support/cluster.ts';
import { startRedis } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type Member, rest, SlowStore, TimedCluster } from './support/timed-cluster.ts';

describe('the work that one node does for all', () => {
  test('mirrors on one node, and on another one when that is paused, which cannot harm when it wakes', async () => {
    await using redis = await startRedis();
    const cluster = new TimedCluster();
    for (const name of ['a', 'b', 'c']) await cluster.join(name, { redisUrl: redis.url });
    const [a, b, c] = cluster.members as [Member, Member, Member];
    await cluster.until(() => cluster.holders('mirror').length === 1);
    expect(cluster.holders('mirror')).toEqual([a]);
    await using mirror = new RedisContextCache({ url: redis.url });
    await b.node.set('plan', 1);
    await cluster.until(async () => (await mirror.get('plan', 'default')) === 1);
    await cluster.until(() => (c.node.health().cluster?.leases[0]?.checkpoint ?? 0) === 1);
    // The holder stands still and gets nothing, and the lease ends without it.
    a.connection.cut();
    const written = b.node.set('plan', 2);
    await cluster.until(() => cluster.holders('mirror').some((member) => member !== a), a);
    await written;
    await b.node.set('other', 3);
    await cluster.until(async () => (await mirror.get('other', 'default')) === 3, a);
    expect(cluster.holders('mirror')).toContain(a);
    // It wakes in the belief that it holds the lease, and delivers what it now hears of.
    a.connection.restore();
    await b.node.set('plan', 4);
    await a.node.reached(b.node.position);
    for (let i = 0; i < 20; i += 1) await rest();
    await cluster.until(() => !cluster.holders('mirror').includes(a));
    await cluster.until(async () => (await mirror.get('plan', 'default')) === 4);
    expect([await mirror.get('plan', 'default'), await mirror.get('other', 'default')]).toEqual([4, 3]);
    expect(cluster.holders('mirror')).toHaveLength(1);
  }, 30_000);

  test('shares topics and the settings of the backup, and takes snapshots on one node, whoever asks', async () => {
    const store = new MemorySnapshotStore();
    const cluster = new TimedCluster();
    const options: NodeOptions = { sharesSnapshots: true, backup: { store, interval: 60 } };
    for (const name of ['a', 'b', 'c']) await cluster.join(name, options);
    const [a, b, c] = cluster.members.map(({ node }) => node) as [
      AgentContextCache,
      AgentContextCache,
      AgentContextCache,
    ];
    await cluster.until(() => cluster.lease('backup') !== undefined);
    await Promise.all([b.addTopic('plans'), c.addTopic('audit')]);
    await a.removeTopic('unknown');
    await c.setBackupSettings({ interval: 30 });
    await cluster.pass(500);
    await b.addGrant({ agent: 'planner', read: ['plans'] });
    await cluster.pass(500);
    for (const node of [a, b, c]) {
      expect(() => node.as({ agent: 'planner' }).get('plan')).toThrow(AccessDeniedError);
      expect([node.getTopicsList().toSorted(), node.getBackupSettings().interval]).toEqual([['audit', 'plans'], 30]);
      expect(node.isBackupEnabled()).toBe(true);
    }
    await b.set('plan', 1);
    const asked = c.backup();
    await cluster.until(async () => (await store.list('snapshot-')).length === 1);
    const snapshot = await asked;
    expect(snapshot).toMatchObject({ position: 1, whole: true });
    // By the interval of 30 s, and never twice.
    await b.set('plan', 2);
    await cluster.until(async () => (await store.list('snapshot-')).length === 2);
    await c.disableBackup();
    await cluster.until(() => cluster.lease('backup') === undefined);
    expect([a, b, c].map((node) => node.isBackupEnabled())).toEqual([false, false, false]);
    // A snapshot that is asked for is taken although none is due.
    await b.set('plan', 3);
    const other = b.backup();
    await cluster.until(async () => (await store.list('snapshot-')).length === 3);
    expect(await other).toMatchObject({ position: 3 });
  });

  test('keeps the grants that nodes add and remove at once, and never opens the cache by that', async () => {
    const cluster = new TimedCluster();
    const a = await cluster.join('a', { grants: [{ agent: 'first', read: ['x'] }] });
    const b = await cluster.join('b', {});
    const agentsOf = async () => {
      await cluster.pass(500);
      const [known, other] = [a, b].map((node) => node.getGrants().map(({ agent }) => agent));
      expect(other).toEqual(known);
      return known;
    };
    await Promise.all([
      a.addGrant({ agent: 'p', read: ['x'] }),
      a.addGrant({ agent: 'q', read: ['x'] }),
      b.addGrant({ agent: 'r', read: ['x'] }),
    ]);
    expect((await agentsOf())?.toSorted()).toEqual(['first', 'p', 'q', 'r']);
    // Replaces all without a moment in which there are none.
    const seen = new Set<number>();
    const timer = setInterval(() => seen.add(b.getGrants().length));
    await a.setGrants([{ agent: 's' }, { agent: 't' }]);
    expect(await agentsOf()).toEqual(['s', 't']);
    clearInterval(timer);
    expect(seen).not.toContain(0);
    await Promise.all([a.setGrants([{ agent: 's', admin: true }]), a.setGrants([{ agent: 's' }, { agent: 't' }])]);
    expect(await agentsOf()).toEqual(['s', 't']);
    await expect(Promise.all([a.removeGrant('s'), a.removeGrant('t')])).rejects.toThrow('last grant');
    await a.addGrant({ agent: 's' });
    expect((await agentsOf())?.toSorted()).toEqual(['s', 't']);
    await Promise.all([a.removeGrant('s'), b.removeGrant('t')]);
    expect(await agentsOf()).toEqual(['*']);
    for (const node of [a, b]) expect(() => node.as({ agent: 's' }).get('k')).toThrow(AccessDeniedError);
    // The option of a node that joins later changes nothing.
    const late = await cluster.join('c', { grants: [{ agent: 's', read: ['**'] }] });
    expect(() => late.as({ agent: 's' }).get('k')).toThrow(AccessDeniedError);
    await b.setGrants([]);
    expect(await agentsOf()).toEqual([]);
    expect(a.as({ agent: 's' }).get('k')).toBeUndefined();
  });

  test('discards what the second newest snapshot holds, after which a node joins from a snapshot', async () => {
    const store = new MemorySnapshotStore();
    const cluster = new TimedCluster();
    const options: NodeOptions = { sharesSnapshots: true, backup: { store } };
    const a = await cluster.join('a', options);
    await cluster.until(() => cluster.lease('backup') === 'a');
    for (let i = 1; i <= 3; i += 1) {
      await a.set('plan', i);
      await a.addTopic(`t-${i}`);
      await a.backup();
      await cluster.pass(1_000);
    }
    const { first } = cluster.stream.info();
    expect(first).toBeGreaterThan(1);
    const b = await cluster.join('b', options);
    expect([b.get('plan'), b.position, b.getTopicsList()]).toEqual([3, 3, ['t-1', 't-2', 't-3']]);
    expect(await b.digest()).toBe(await a.digest());
    expect(b.health().cluster?.hash).toBe(a.health().cluster?.hash);
    // Without the store nothing has the messages that are gone.
    await expect(cluster.join('c', {})).rejects.toMatchObject({ code: 'POSITION_UNAVAILABLE' });
  });

  test('asks for its lease before the writes that wait, and does not ask all the time if that fails', async () => {
    await using redis = await startRedis();
    const cluster = new TimedCluster();
    const a = await cluster.join('a', { redisUrl: redis.url, maxQueued: 1, writeTimeoutMs: 2_000 });
    const [{ connection }] = cluster.members as [Member];
    await cluster.until(() => cluster.lease('mirror') === 'a');
    connection.cut();
    await cluster.pass(3_500);
    const written = a.set('plan', 1).catch((error) => error.code);
    await cluster.until(() => a.health().cluster?.waiting === 2);
    connection.restore();
    await cluster.until(() => a.health().cluster?.waiting === 0);
    expect((await written).version).toBe(1);
    expect(a.health().cluster?.leases[0]?.leftMs).toBeGreaterThan(9_000);
    // Nothing is sent in time, and the lease ends.
    connection.cut();
    await cluster.pass(12_000);
    expect(cluster.holders('mirror')).toEqual([]);
    connection.restore();
    await cluster.until(() => cluster.holders('mirror').length === 1);
    await a.shutdown({ timeoutMs: 0 });
  });

  test('takes the snapshots that several callers ask for at once, each with what its caller has written', async () => {
    const cluster = new TimedCluster();
    const store = new SlowStore();
    const options: NodeOptions = { sharesSnapshots: true, backup: { store, enabled: false } };
    const a = await cluster.join('a', options);
    const b = await cluster.join('b', options);
    const together = Promise.all([a.backup(), a.backup(), b.backup()]);
    let taken: unknown;
    void together.then((all) => {
      taken = all;
    });
    await cluster.until(() => taken !== undefined);
    await cluster.until(() => cluster.lease('backup') === undefined);
    store.hold();
    await b.set('plan', 0);
    const early = b.backup();
    await cluster.until(() => store.isWaiting);
    const { position } = await a.set('plan', 1);
    const late = a.backup();
    await cluster.pass(1_000);
    store.release();
    let snapshot: Awaited<typeof late> | undefined;
    void late.then((last) => {
      snapshot = last;
    });
    await cluster.until(() => snapshot !== undefined);
    expect((await early).position).toBeLessThan(position);
    expect(snapshot?.position).toBe(position);
    await cluster.until(() => cluster.lease('backup') === undefined);
    for (const { node } of cluster.members) {
      const { config } = (node[INTERNALS].parts.sequencer?.stored() ?? {}) as { config: [string, unknown][] };
      expect(config.map(([name]) => name)).toEqual(['backup']);
    }
  });

  test('refuses a snapshot that is asked for on a node that is shut down before it was taken', async () => {
    const cluster = new TimedCluster();
    const store = new SlowStore();
    const options: NodeOptions = { sharesSnapshots: true, backup: { store } };
    await cluster.join('a', options);
    const b = await cluster.join('b', options);
    await cluster.until(() => cluster.lease('backup') === 'a');
    store.hold();
    const asked = b.backup().catch((error) => error.code);
    await cluster.until(() => store.isWaiting);
    await b.shutdown({ timeoutMs: 0 });
    expect(await asked).toBe('CLOSED');
    store.release();
  });

  test('applies the other settings and says so if this version refuses one', async () => {
    const cluster = new TimedCluster();
    const errors: string[] = [];
    const a = await cluster.join('a', { onError: (error) => errors.push(error.message) });
    const { sequencer } = a[INTERNALS].parts;
    await sequencer?.configure('grants', true);
    await sequencer?.configure('grant/', { agent: '' });
    await a.addTopic('plans');
    expect(errors.length).toBeGreaterThan(0);
    expect(a.getTopicsList()).toContain('plans');
    expect(a.health().cluster?.status).toBe('ready');
  });

  test('keeps no updates for a broadcaster while there are no topics', async () => {
    const cluster = new TimedCluster();
    const options = { natsUrl: 'nats://127.0.0.1:1' };
    await cluster.join('a', { ...options, dataDir: await tempDir('node') });
    const b = await cluster.join('b', { ...options, dataDir: await tempDir('node') });
    const fill = async () => {
      for (let i = 0; i < 300; i += 1) await b.set('plan', 'x'.repeat(1_000), 'trip');
    };
    const heldBy = async () => (await b.compact({ keepUpdates: 1 })).heldBy;
    await fill();
    expect(await heldBy()).toBeUndefined();
    const since = b.position;
    await b.addTopic('plans');
    await cluster.until(() => cluster.lease('broadcaster') !== undefined);
    await fill();
    expect(await heldBy()).toBe('follower broadcaster');
    const follower = () => b[INTERNALS].parts.log.checkpoints().find(({ name }) => name === 'broadcaster');
    expect(follower()?.checkpoint).toBe(since);
    await b.removeTopic('plans');
    await cluster.until(() => follower() === undefined);
    expect(await heldBy()).toBeUndefined();
  });
});
