import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { StreamMessage } from '../../src/cluster/command-stream.ts';
import { apply } from '../../src/core/apply.ts';
import type { ContextCacheError } from '../../src/core/errors.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import type { AgentContextCache } from '../../src/index.ts';
import { LateCache } from '../support/cache.ts';
import { clusterOf, openNode, type TestCluster } from '../support/cluster.ts';
import { MemoryStream } from '../support/memory-stream.ts';
import type { Operation } from './checkers/history.ts';
import { checkLinearizable } from './checkers/linearizable.ts';

type Three = readonly [AgentContextCache, AgentContextCache, AgentContextCache];

async function three(options?: Parameters<typeof clusterOf>[1]): Promise<TestCluster & { readonly nodes: Three }> {
  return (await clusterOf(3, options)) as TestCluster & { readonly nodes: Three };
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'resolved',
    (error: ContextCacheError) => error.code,
  );

async function areEqual({ nodes, settle }: TestCluster): Promise<void> {
  await settle();
  const digests = await Promise.all(nodes.map((node) => node.digest()));
  expect(new Set(digests).size).toBe(1);
  expect(new Set(nodes.map((node) => node.health().cluster?.hash)).size).toBe(1);
}

describe('a node of a cluster', () => {
  test('shows a write when its promise resolves, and on another node after a barrier or at its position', async () => {
    const { nodes } = await three();
    const [a, b, c] = nodes;
    const { position } = await a.set('plan', 1, 'trip');
    expect(a.get('plan', 'trip')).toBe(1);
    await b.barrier();
    expect(b.get('plan', 'trip')).toBe(1);
    await c.reached(position);
    expect(c.get('plan', 'trip')).toBe(1);
  });

  test('is equal to all others after writes on all of them at once', async () => {
    const cluster = await three();
    const writes = cluster.nodes.flatMap((node, index) =>
      Array.from({ length: 50 }, (_, i) => [
        node.increment('count', 1, 'all'),
        node.set(`k${i % 7}`, [index, i], 'all', { ttl: 1 + (i % 5) }),
        node.transaction([
          { operation: 'set', namespace: 'all', key: 't', value: i },
          { operation: 'set', namespace: 'other', key: 't', value: i },
        ]),
      ]),
    );
    await Promise.all(writes.flat());
    await areEqual(cluster);
  });

  test('orders commands that are sent without an answer', async () => {
    const cluster = await three();
    cluster.nodes[1].supervisor.send({ type: 'context.set', key: 'plan', value: 1 });
    await cluster.settle();
    await areEqual(cluster);
    expect(cluster.nodes.map((node) => node.get('plan'))).toEqual([1, 1, 1]);
  });

  test('does not take the end of a leader that was just elected for the newest message', async () => {
    const { nodes, stream } = await three();
    await nodes[0].set('plan', 1);
    stream.isSettled = false;
    const staleness = () => nodes[0].health().cluster?.stalenessMs ?? 0;
    await vi.waitFor(() => expect(staleness()).toBeGreaterThan(2_500), 5_000);
    stream.isSettled = true;
    await vi.waitFor(() => expect(staleness()).toBeLessThan(1_000), 5_000);
  });

  test('removes what has expired in an idle cluster, on all nodes alike', async () => {
    const cluster = await three();
    await cluster.nodes[0].set('plan', 1, 'trip', { ttl: 20 });
    await cluster.settle();
    await vi.waitFor(() => expect(cluster.nodes.map(({ position }) => position)).toEqual([2, 2, 2]), 5_000);
    await areEqual(cluster);
  });

  test('joins with everything that was written before', async () => {
    const cluster = await three();
    for (let i = 0; i < 20; i += 1) await cluster.nodes[0].set(`k${i}`, i, 'trip');
    const late = await openNode(cluster.stream.connect());
    expect(late.get('k19', 'trip')).toBe(19);
    expect(await late.digest()).toBe(await cluster.nodes[0].digest());
    await late.shutdown();
  });

  test('joins although reading what was written takes longer than a write may wait', async () => {
    const cluster = await three();
    for (let i = 0; i < 20; i += 1) await cluster.nodes[0].set(`k${i}`, i, 'trip');
    const slow = cluster.stream.connect();
    const follow = slow.follow.bind(slow);
    let last = Promise.resolve();
    slow.follow = (after, receive, failed) => {
      const later = (message: StreamMessage) => {
        last = last.then(() => sleep(25)).then(() => receive(message));
      };
      return follow(after, later, failed);
    };
    const late = await openNode(slow, { writeTimeoutMs: 300 });
    expect(late.get('k19', 'trip')).toBe(19);
    await late.shutdown();
  });

  test('reads without a connection; writes wait, then say that nothing was done', async () => {
    const cluster = await three({ writeTimeoutMs: 300, maxQueued: 3 });
    const [a, b] = cluster.nodes;
    await a.set('plan', 1);
    await cluster.settle();
    cluster.connections[1]?.cut();
    const writes = Array.from({ length: 4 }, (_, i) => codeOf(b.set(`k${i}`, i)));
    expect(b.get('plan')).toBe(1);
    await sleep(30);
    expect(() => b.get('plan', 'default', { maxStalenessMs: 20 })).toThrow(
      /last up to date \d+ ms ago.*No server is connected/,
    );
    expect(a.get('plan', 'default', { maxStalenessMs: '30s' })).toBe(1);
    expect(() => a.get('plan', 'default', { maxStalenessMs: -1 })).toThrow(/maxStalenessMs/);
    expect(await Promise.all(writes)).toEqual(['LOG_UNAVAILABLE', 'LOG_UNAVAILABLE', 'LOG_UNAVAILABLE', 'OVERLOADED']);
    await expect(b.barrier()).rejects.toThrow('so nothing was done. Try again. The reason: No server is connected.');
    cluster.connections[1]?.restore();
    await areEqual(cluster);
    expect(a.listKeys()).toEqual(['plan']);
  });

  test('asks again after a barrier that could not be sent in time', async () => {
    const cluster = await three({ writeTimeoutMs: 300 });
    const [a, b] = cluster.nodes;
    cluster.connections[1]?.cut();
    await expect(b.barrier()).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' });
    cluster.connections[1]?.restore();
    await a.set('plan', 1);
    await b.barrier();
    expect(b.get('plan')).toBe(1);
  });

  test('says that the outcome of a write is unknown, with the operation id that finds it out', async () => {
    const cluster = await three({ writeTimeoutMs: 300 });
    const [a] = cluster.nodes;
    cluster.stream.fateOf = () => 'lost';
    const write = a.set('plan', 1, 'trip', { operationId: 'o-1' });
    await expect(write).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN', message: expect.stringContaining('"o-1"') });
    cluster.stream.fateOf = () => 'stored twice';
    const { version } = await a.set('plan', 1, 'trip', { operationId: 'o-1' });
    expect(version).toBe(1);
    await areEqual(cluster);
    expect(cluster.nodes[2].position).toBe(1);
  });

  test('takes a message once that the stream has twice, and sends again what it has not', async () => {
    const cluster = await three();
    let sent = 0;
    cluster.stream.fateOf = () => {
      sent += 1;
      return (
        (['stored', 'lost', 'stored twice', 'refused', 'stored, acknowledgement lost'] as const)[sent % 5] ?? 'stored'
      );
    };
    for (let i = 1; i <= 10; i += 1) expect((await cluster.nodes[0].increment('n')).value).toBe(i);
    await areEqual(cluster);
  });

  test('leaves service if it cannot do what the others do', async () => {
    let isBroken = false;
    const cluster = await three();
    const failing = await openNode(cluster.stream.connect(), {
      internals: {
        apply: (state, update) => {
          if (isBroken) throw new Error('A bit has flipped.');
          apply(state, update);
        },
      },
    });
    isBroken = true;
    await cluster.nodes[0].set('plan', 1);
    await vi.waitFor(() => expect(failing.health().cluster?.status).toBe('failed'));
    expect(failing.health().cluster?.failure).toMatchObject({
      code: 'LOG_CORRUPT',
      message: expect.stringMatching(/has left service\. The reason: The namespace crashed/),
    });
    expect(await codeOf(failing.set('plan', 2))).not.toBe('resolved');
    expect(await codeOf(failing.barrier())).not.toBe('resolved');
    expect(await codeOf(failing.reached(99))).not.toBe('resolved');
    await cluster.nodes[1].set('plan', 3);
    await areEqual(cluster);
    await failing.shutdown();
  });

  test('leaves service if the others have come to another state', async () => {
    const cluster = await three();
    const [a, b, c] = cluster.nodes;
    await a.set('plan', 1);
    await cluster.settle();
    // A bit that has flipped in the memory of one node.
    const { state } = c[INTERNALS].parts.registry.find('default') ?? {};
    if (state !== undefined) state.version += 1;
    for (let i = 0; i < 10 && c.health().cluster?.status === 'ready'; i += 1) {
      await Promise.all([a.set('plan', i), b.set('other', i)]);
      await sleep(60);
    }
    expect(c.health().cluster).toMatchObject({ status: 'failed', failure: { code: 'LOG_CORRUPT' } });
    expect([a, b].map((node) => node.health().status)).toEqual(['ok', 'ok']);
    // What it holds is wrong, so it answers no read.
    const tolerant = () => c.get('plan', 'default', { maxStalenessMs: 0 });
    const reads = [
      () => c.get('plan'),
      () => c.entry('plan'),
      () => c.getMany(['plan']),
      () => c.has('plan'),
      tolerant,
    ];
    for (const read of reads) {
      expect(read).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }));
    }
    for (const read of [
      () => c.entries('default'),
      () => c.listKeys(),
      () => [...c.keys()],
      () => c.listNamespaces(),
    ]) {
      expect(read).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }));
    }
    expect(await codeOf(c.changes({ since: 0 }))).toBe('LOG_CORRUPT');
  });

  test('leaves service if the stream was restored from an older copy', async () => {
    const cluster = await three();
    const [a] = cluster.nodes;
    await a.set('plan', 1);
    await cluster.settle();
    cluster.stream.rewind(cluster.stream.last - 1);
    await vi.waitFor(() =>
      expect(a.health().cluster).toMatchObject({ status: 'failed', failure: { code: 'LOG_CORRUPT' } }),
    );
    expect(await codeOf(a.set('plan', 2))).toBe('LOG_CORRUPT');
  });

  test('continues in a new session if the stream has forgotten its own', async () => {
    const cluster = await three();
    const [a, b] = cluster.nodes;
    await a.set('plan', 1);
    cluster.stream.append(Buffer.from('no message'), Date.now() + 25 * 60 * 60 * 1000);
    expect((await a.increment('n')).value).toBe(1);
    expect((await b.increment('n')).value).toBe(2);
    await areEqual(cluster);
  });

  test('shares a barrier only until it is on its way', async () => {
    const cluster = await three();
    const [a, b] = cluster.nodes;
    const before = cluster.stream.last;
    const together = [a.barrier(), a.barrier()];
    while (cluster.stream.last === before) await new Promise(setImmediate);
    const written = b.set('plan', 1);
    // The barrier before may be ordered before the write, so this one must be another message.
    const later = written.then(() => a.barrier());
    await Promise.all([...together, later]);
    expect(a.get('plan')).toBe(1);
    expect(cluster.stream.last).toBe(before + 3);
  });

  test('is linearizable by reads after a barrier, and would not be by local reads or an older barrier', async () => {
    const { nodes, connections } = await three();
    const [a, b] = nodes;
    const history: Operation[] = [];
    const done = async (session: string, ask: Operation['ask'], answer: () => Promise<Operation['answer']>) => {
      const calledAt = performance.now();
      const answered = await answer();
      // Instants are judged to the millisecond.
      await sleep(5);
      history.push({ session, key: 'k', ask, calledAt, returnedAt: performance.now(), answer: answered });
    };
    const set = (value: string) =>
      done('b', { type: 'set', value }, async () => {
        const { version } = await b.set('k', value, 'k');
        return { type: 'done', version, isChanged: true };
      });
    const read = (wait: () => Promise<void>) =>
      done('a', { type: 'get', isAfterBarrier: true }, async () => {
        await wait();
        const { value, version } = a.entry('k', 'k') ?? {};
        return { type: 'read', value: value as string | undefined, version };
      });
    await set('first');
    const older = a.barrier();
    await read(() => older);
    expect(checkLinearizable(history)).toBeUndefined();
    // What is written now does not reach the other node.
    connections[0]?.cut();
    await set('second');
    const before = history.length;
    for (const wait of [() => Promise.resolve(), () => older]) {
      await read(wait);
      expect(checkLinearizable(history)).toMatch(/no order/i);
      history.length = before;
    }
    const fresh = read(() => a.barrier());
    connections[0]?.restore();
    await fresh;
    expect(checkLinearizable(history)).toBeUndefined();
  });

  test('takes the time of the stream for reads after a barrier, although its own estimate had run ahead of it', async () => {
    // A server that was paused stores messages with the instants at which it got them, much later.
    let at = 1_000_000;
    const stream = new MemoryStream(() => at);
    const [a, b] = [await openNode(stream.connect(), { node: 'a' }), await openNode(stream.connect(), { node: 'b' })];
    const { version } = await a.set('plan', 'old', 'trip', { ttl: 150 });
    await b.reached(a.position);
    await vi.waitFor(() => expect(b.get('plan', 'trip')).toBeUndefined(), 10_000);
    at += 10;
    await b.barrier();
    // However long the turn takes in which the barrier resolves.
    for (const until = performance.now() + 200; performance.now() < until; );
    expect(b.get('plan', 'trip')).toBe('old');
    // It has not expired for the others, whose writes come next.
    await a.set('plan', 'new', 'trip', { ifVersion: version, ttl: 150 });
    at += 200;
    await b.barrier();
    expect(b.get('plan', 'trip')).toBeUndefined();
    await a.set('plan', 'again', 'trip', { ifAbsent: true });
    await Promise.all([a.shutdown(), b.shutdown()]);
  });

  test('refuses what would change it alone', async () => {
    const { nodes, stream } = await three({ schemas: { typed: { '~standard': numbers } } as never });
    const [a] = nodes;
    await using branch = await a.fork();
    await branch.set('plan', 1);
    expect(await codeOf(a.merge(branch))).toBe('INVALID_OPTION');
    expect(await codeOf(a.increment('n', 1, 'typed'))).not.toBe('resolved');
    const primaryCache = new LateCache();
    expect(await codeOf(openNode(stream.connect(), { primaryCache }))).toBe('INVALID_OPTION');
    expect(await codeOf(openNode(stream.connect(), { restoreFrom: '/nowhere' }))).toBe('INVALID_OPTION');
  });

  test('knows the other nodes', async () => {
    const { nodes, settle } = await three();
    await settle();
    const { members, node, status, connected, protocol } = nodes[0].health().cluster ?? {};
    expect(members?.map((member) => member.node).sort()).toEqual(['n-1', 'n-2', 'n-3']);
    expect([node, status, connected, protocol]).toEqual(['n-1', 'ready', true, 1]);
  });
});

const numbers = {
  version: 1,
  vendor: 'test',
  validate: (value: unknown) => (typeof value === 'number' ? { value } : { issues: [{ message: 'not a number' }] }),
};
