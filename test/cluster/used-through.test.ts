import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { connect } from '../../src/client.ts';
import { ContextCacheError, type ErrorCode } from '../../src/core/errors.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import type { AgentContextCache } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { clusterOf, openNode } from '../support/cluster.ts';
import { sendCommand } from '../support/http.ts';
import { MemoryStream } from '../support/memory-stream.ts';
import { tempDir } from '../support/temp-dir.ts';

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'resolved',
    (error: ContextCacheError) => error.code,
  );

describe('a node that is used through something else', () => {
  test('gives barriers, positions and limits of staleness to clients, handles and commands', async () => {
    const cluster = await clusterOf(3);
    const [a, b] = cluster.nodes as [AgentContextCache, AgentContextCache];
    await using server = await startServer(b, { port: 0 });
    await using client = await connect(server.url, { token: server.token });
    const [, connection] = cluster.connections;
    const writer = client.as({ agent: 'planner' });
    for (const barrier of [
      () => client.barrier(),
      () => writer.barrier(),
      () => client.ask({ type: 'cache.barrier' }),
    ]) {
      const { position } = await a.increment('n');
      await barrier();
      expect(await client.get('n')).toBe(position);
    }
    connection?.cut();
    const { position } = await a.increment('n');
    const reached = Promise.all([
      client.reached(position),
      writer.reached(position),
      b.as({ agent: 'x' }).reached(position),
    ]);
    await sleep(50);
    const limit = { maxStalenessMs: 20 };
    const command = { type: 'context.get', key: 'n', ...limit } as const;
    for (const read of [
      () => client.get('n', 'default', limit),
      () => client.namespace('default').get('n', limit),
      () => writer.get('n', 'default', limit),
      () => client.as({ agent: 'y' }, { basis: true }).get('n', 'default', limit),
      () => client.ask(command),
      async () => b.namespace('default').get('n', limit),
      async () => b.forAgent('z').get('n', 'default', limit),
    ]) {
      expect(await codeOf(read())).toBe('LOG_UNAVAILABLE');
    }
    expect(await sendCommand(server, command)).toMatchObject({ status: 503 });
    expect(await client.get('n', 'default', { maxStalenessMs: '1h' })).toBe(3);
    connection?.restore();
    await reached;
    expect(await client.get('n')).toBe(4);
  });
});

describe('a flush in a cluster', () => {
  test('waits for what was written before it, on the node and over a client alike', async () => {
    const [a] = (await clusterOf(2)).nodes as [AgentContextCache];
    await using server = await startServer(a, { port: 0 });
    await using client = await connect(server.url, { token: server.token });
    const flushes = [() => a.flush(), () => a.ask({ type: 'cache.flush' }), () => client.flush()];
    for (const [index, flush] of flushes.entries()) {
      const written = a.set('plan', index);
      await flush();
      expect(a.get('plan')).toBe(index);
      await written;
    }
  });

  test('waits for the data directory of the node, on the node and by command alike', async () => {
    const dataDir = await tempDir('flush');
    const node = await openNode(new MemoryStream().connect(), { dataDir });
    for (const flush of [() => node.flush(), () => node.ask({ type: 'cache.flush' })]) {
      const { position } = await node.set('plan', 1);
      await flush();
      expect(node.health().log.committed).toBe(position);
    }
    await node.shutdown();
  });
});

describe('a node whose process cannot execute what the others execute', () => {
  /** Lets the namespace of one node refuse requests for a reason of its own process. */
  const refusing = (node: AgentContextCache, code: ErrorCode) => {
    const { supervisor } = node[INTERNALS].parts;
    const { dispatch } = supervisor;
    supervisor.dispatch = (request) => request.fail(new ContextCacheError(code, 'Of this process alone.'));
    return () => {
      supervisor.dispatch = dispatch;
    };
  };

  test('waits while a queue inside is full, and is equal to the others afterwards', async () => {
    const cluster = await clusterOf(2);
    const [a, b] = cluster.nodes as [AgentContextCache, AgentContextCache];
    const stop = refusing(b, 'OVERLOADED');
    expect((await a.set('plan', 1)).version).toBe(1);
    await vi.waitFor(() => expect(b.health().cluster?.status).toBe('stalled'));
    expect(b.health().cluster?.failure).toMatchObject({ code: 'OVERLOADED' });
    await a.set('plan', 2);
    stop();
    await cluster.settle();
    expect([b.get('plan'), await b.digest()]).toEqual([2, await a.digest()]);
    expect(b.health().cluster?.status).toBe('ready');
  });

  test('leaves service if it cannot read a namespace, instead of refusing what the others do', async () => {
    const cluster = await clusterOf(2);
    const [a, b] = cluster.nodes as [AgentContextCache, AgentContextCache];
    refusing(b, 'NAMESPACE_UNAVAILABLE');
    expect((await a.set('plan', 1)).version).toBe(1);
    await vi.waitFor(() => expect(b.health().cluster?.status).toBe('failed'));
    const message = expect.stringContaining('has left service. The reason: Of this process alone. Mend that');
    expect(() => b.get('plan')).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT', message }));
    expect(await codeOf(b.set('plan', 2))).not.toBe('resolved');
    expect((await a.set('plan', 2)).version).toBe(2);
  });
});
