import { describe, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { MAX_OPERATIONS } from '../../src/core/operations.ts';
import { AgentContextCache, ContextCacheError, type WatchedUpdate } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { readServeFile, writeServeFile } from '../../src/wire/serve-file.ts';
import { waitFor } from '../support/cli.ts';
import { serveThroughProxy } from '../support/served.ts';
import { freePort } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';

const TOKEN = 'token-of-this-test-and-no-other';

/** Folds a stream of updates into what a reader who applies them holds. */
function fold(updates: readonly WatchedUpdate[]): Record<string, unknown> {
  const state: Record<string, unknown> = {};
  for (const { namespace, operation, key, value } of updates) {
    if (operation === 'clear_namespace') {
      for (const name of Object.keys(state)) if (name.startsWith(`${namespace}/`)) delete state[name];
    } else if (operation === 'set') state[`${namespace}/${key}`] = value;
    else delete state[`${namespace}/${key}`];
  }
  return state;
}

/** Reads a watch into an array until it ends. */
function gather(watch: AsyncIterable<WatchedUpdate>): { updates: WatchedUpdate[]; ended: Promise<void> } {
  const updates: WatchedUpdate[] = [];
  const ended = (async () => {
    for await (const update of watch) updates.push(update);
  })();
  ended.catch(() => {});
  return { updates, ended };
}

describe('a lost connection', () => {
  test('repeats reads, and reports the loss', async () => {
    await using served = await serveThroughProxy();
    const { cache, proxy, remote, errors } = served;
    await cache.set('key', { step: 1 }, 'space');
    proxy.stall();
    const reads = [remote.get('key', 'space'), remote.entries('space'), remote.health(), remote.at(1)] as const;
    await new Promise((resolve) => setTimeout(resolve, 20));
    proxy.refuse();
    await waitFor(() => expect(remote.connection).toBe('reconnecting'));
    proxy.heal();
    const [value, entries, health, view] = await Promise.all(reads);
    expect(value).toEqual({ step: 1 });
    expect(entries).toHaveLength(1);
    expect(health.status).toBe('ok');
    expect(await view.get('key', 'space')).toEqual({ step: 1 });
    expect(errors[0]).toMatchObject({ code: 'UNREACHABLE' });
  });

  test('ends a write that was sent with OUTCOME_UNKNOWN, and sends one that was not', async () => {
    await using served = await serveThroughProxy();
    const { cache, proxy, remote } = served;
    const cut = proxy.cutAfter('toClient', 3);
    const sent = remote.set('sent', 1, 'space');
    const failed = sent.catch((error: unknown) => error);
    await cut;
    proxy.refuse();
    await waitFor(() => expect(remote.connection).toBe('reconnecting'));
    const unsent = remote.set('unsent', 2, 'space');
    expect(await failed).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(await failed).toBeInstanceOf(ContextCacheError);
    proxy.heal();
    expect(await unsent).toMatchObject({ changed: true });
    // Here it has taken effect; the client could not know.
    expect(cache.get('sent', 'space')).toBe(1);
    expect(cache.get('unsent', 'space')).toBe(2);
  });

  test('does not repeat an update whose write was sent', async () => {
    await using served = await serveThroughProxy();
    const { cache, proxy, remote } = served;
    await cache.set('count', 1, 'space');
    const changed = remote.update(
      'count',
      async (count) => {
        void proxy.cutAfter('toClient', 3);
        return Number(count) + 1;
      },
      'space',
    );
    await expect(changed).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(cache.get('count', 'space')).toBe(2);
  });

  test('repeats a write with an operation id, which is done once', async () => {
    await using served = await serveThroughProxy();
    const { cache, proxy, remote } = served;
    void proxy.cutAfter('toClient', 3);
    const count = await remote.update('count', (value = 0) => Number(value) + 1, 'space', { operationId: 'own' });
    expect(count).toMatchObject({ version: 1, changed: true, value: 1 });
    expect(cache.entry('count', 'space')).toMatchObject({ value: 1, version: 1 });
    expect(proxy.accepted).toBe(2);
  });

  test('repeats every write if the client gives them ids, in order', async () => {
    await using served = await serveThroughProxy({ client: { repeatWrites: true } });
    const { cache, proxy, remote } = served;
    const writes: Promise<unknown>[] = [];
    for (let i = 0; i < 2_000; i += 1) {
      if (i % 500 === 250) void proxy.cutAfter('toClient', 1_000 + i);
      writes.push(remote.set(`key ${i % 3}`, i, 'space'));
      if (i % 50 > 0) continue;
      await remote.update('count', (count = 0) => Number(count) + 1, 'space');
    }
    await Promise.all(writes);
    expect(proxy.accepted).toBeGreaterThan(3);
    expect(cache.get('count', 'space')).toBe(40);
    const values: unknown[] = [];
    for await (const { key, value } of cache.readLog()) if (key !== 'count') values.push(value);
    expect(values).toEqual(Array.from({ length: 2_000 }, (_, index) => index));
  });

  test('ends a repeated write with OUTCOME_UNKNOWN if the server no longer knows whether it was done', async () => {
    await using served = await serveThroughProxy({ client: { repeatWrites: true } });
    const { cache, proxy, remote } = served;
    const cut = proxy.cutAfter('toClient', 3);
    const failed = remote.set('key', 1, 'space').catch((error: unknown) => error);
    await cut;
    proxy.refuse();
    for (let i = 0; i <= MAX_OPERATIONS; i += 1) void cache.set('other', i, 'space', { operationId: `other ${i}` });
    await cache.delete('key', 'space');
    proxy.heal();
    expect(await failed).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(cache.has('key', 'space')).toBe(false);
  });

  test('continues watches and subscriptions without gap or duplicate', async () => {
    await using served = await serveThroughProxy();
    const { cache, proxy, remote } = served;
    const all = gather(remote.watch({ bufferSize: 100_000 }));
    const some = gather(remote.watch({ namespace: 'even', since: 0, bufferSize: 100_000 }));
    const heard: number[] = [];
    const stop = remote.subscribe(({ position }) => heard.push(position));
    await remote.flush();
    for (let round = 0; round < 20; round += 1) {
      for (let i = 0; i < 50; i += 1) void cache.set(`key ${i % 7}`, round, i % 2 === 0 ? 'even' : 'odd');
      await new Promise((resolve) => setTimeout(resolve, 5 * (round % 3)));
      if (round % 2 === 0) {
        proxy.refuse();
        for (let i = 0; i < 10; i += 1) void cache.set('while away', i, 'odd');
        proxy.heal();
      }
    }
    const head = cache.position;
    await waitFor(() => expect(heard.at(-1)).toBe(head));
    await waitFor(() => expect(all.updates.at(-1)?.position).toBe(head));
    const positions = Array.from({ length: head }, (_, index) => index + 1);
    expect(all.updates.map(({ position }) => position)).toEqual(positions);
    expect(heard).toEqual(positions);
    await waitFor(() => expect(some.updates).toHaveLength(500));
    expect(new Set(some.updates.map(({ position }) => position)).size).toBe(500);
    expect(proxy.accepted).toBeGreaterThan(3);
    stop();
  });

  test('continues reading the log and a history where they were', async () => {
    await using served = await serveThroughProxy();
    const { cache, proxy, remote } = served;
    for (let i = 0; i < 3_000; i += 1) void cache.set('key', i, 'space');
    const positions: number[] = [];
    for await (const { position } of remote.readLog()) {
      positions.push(position);
      if (position === 100) {
        proxy.refuse();
        proxy.heal();
      }
    }
    expect(positions).toEqual(Array.from({ length: 3_000 }, (_, index) => index + 1));
    const versions: number[] = [];
    for await (const { position } of remote.history('key', 'space')) {
      versions.push(position);
      if (versions.length === 100) {
        proxy.refuse();
        proxy.heal();
      }
    }
    expect(versions).toEqual(positions.reverse());
    expect(proxy.accepted).toBeGreaterThan(2);
  });

  test('continues reads in order behind the last key, within their limit', async () => {
    await using served = await serveThroughProxy();
    const { cache, proxy, remote } = served;
    const keys = Array.from({ length: 3_000 }, (_, index) => `key ${String(index).padStart(4, '0')}`);
    await cache.setMany(Object.fromEntries(keys.map((key, index) => [key, { index, text: 'x'.repeat(200) }])), 'space');
    const down = remote.entries('space', { reverse: true, limit: 2_500 });
    const up = remote.keys('space', { from: 'key 0100' });
    const [seenDown, seenUp] = [[(await down.next()).value.key], [(await up.next()).value]];
    proxy.refuse();
    await waitFor(() => expect(remote.connection).toBe('reconnecting'));
    proxy.heal();
    for await (const { key } of down) seenDown.push(key);
    for await (const key of up) seenUp.push(key);
    expect(seenDown).toEqual(keys.toReversed().slice(0, 2_500));
    expect(seenUp).toEqual(keys.slice(100));
  });

  test('gives a snapshot if the log no longer holds what was missed', async () => {
    await using served = await serveThroughProxy({ cacheOptions: { log: { keepUpdates: 100 } } });
    const { cache, proxy, remote } = served;
    const watched = gather(remote.watch());
    await remote.flush();
    await cache.setMany({ kept: 1, gone: 2 }, 'space');
    await cache.set('whole', 1, 'dropped');
    await waitFor(() => expect(watched.updates).toHaveLength(3));
    proxy.refuse();
    await cache.delete('gone', 'space');
    await cache.dropNamespace('dropped');
    for (let i = 0; i < 2_000; i += 1) await cache.set('busy', i, 'space');
    await cache.compact({ keepUpdates: 10 });
    proxy.heal();
    await waitFor(() => expect(fold(watched.updates)).toEqual({ 'space/kept': 1, 'space/busy': 1_999 }));
    const told = watched.updates.filter(({ snapshot }) => snapshot);
    expect(told.slice(0, 2).map(({ operation }) => operation)).toEqual(['clear_namespace', 'clear_namespace']);
    await cache.set('after', 1, 'space');
    await waitFor(() => expect(watched.updates.at(-1)).toMatchObject({ key: 'after', snapshot: false }));
  });

  test('gives a snapshot if another log is served at the address', async () => {
    const port = await freePort();
    const before = new AgentContextCache({ natsUrl: null });
    await startServer(before, { port, token: TOKEN });
    await using remote = await connect(`http://127.0.0.1:${port}`, { token: TOKEN, onError: () => {} });
    for (let i = 0; i < 5; i += 1) await remote.set('old', i, 'space');
    const watched = gather(remote.watch({ since: 0 }));
    await waitFor(() => expect(watched.updates).toHaveLength(5));
    await before.shutdown();
    const after = new AgentContextCache({ natsUrl: null });
    for (let i = 0; i < 50; i += 1) await after.set('new', i, 'other');
    await startServer(after, { port, token: TOKEN });
    await waitFor(() => expect(fold(watched.updates)).toEqual({ 'other/new': 49 }));
    expect(remote.position).toBe(50);
    await after.shutdown();
  });

  test('fails what has waited too long with UNREACHABLE', async () => {
    await using served = await serveThroughProxy({ client: { timeoutMs: 300 } });
    const { proxy, remote } = served;
    proxy.refuse();
    await waitFor(() => expect(remote.connection).toBe('reconnecting'));
    const calls = await Promise.allSettled([remote.get('key'), remote.set('key', 1), remote.listKeys()]);
    for (const call of calls) expect(call).toMatchObject({ reason: { code: 'UNREACHABLE' } });
    proxy.heal();
    expect(await remote.get('key')).toBeUndefined();
  });

  test('does not read a list or a log for ever that every connection is lost at', async () => {
    await using served = await serveThroughProxy({ client: { timeoutMs: 2_500 } });
    const { cache, proxy, remote } = served;
    for (let i = 0; i < 20; i += 1) await cache.set(`key ${i}`, 'x'.repeat(20_000), 'space');
    let isStopped = false;
    const cut = async () => {
      // Each connection ends within the first batch, behind the hello.
      while (!isStopped) await proxy.cutAfter('toClient', 5_000);
    };
    void cut();
    const read = async () => {
      for await (const _update of remote.readLog()) expect.unreachable();
    };
    const [list, log] = await Promise.allSettled([remote.entries('space'), read()]);
    expect(list).toMatchObject({ reason: { code: 'UNREACHABLE' } });
    expect(log).toMatchObject({ reason: { code: 'UNREACHABLE' } });
    isStopped = true;
    proxy.heal();
    expect(await remote.entries('space')).toHaveLength(20);
  });

  test('finds the server of a directory again whose file still holds an old token', async () => {
    const dataDir = await tempDir('old-token');
    await using before = await AgentContextCache.open({ dataDir, natsUrl: null, onError: () => {} });
    const held = await startServer(before, { token: TOKEN });
    const file = await readServeFile(dataDir);
    if (file === undefined) return expect.unreachable();
    await using remote = await connect(dataDir, { onError: () => {} });
    // A server that takes over has replaced the token, and not yet the file.
    await using after = new AgentContextCache({ natsUrl: null, onError: () => {} });
    await using server = await startServer(after, { token: `${TOKEN}-again` });
    await held.close();
    await writeServeFile(dataDir, { ...file, port: server.port });
    const asked = remote.set('key', 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(remote.connection).toBe('reconnecting');
    await writeServeFile(dataDir, { ...file, port: server.port, token: server.token });
    expect(await asked).toMatchObject({ changed: true });
  });

  test('bounds the requests that wait', async () => {
    await using served = await serveThroughProxy({ client: { maxWaiting: 10 } });
    const { proxy, remote } = served;
    proxy.refuse();
    await waitFor(() => expect(remote.connection).toBe('reconnecting'));
    const calls = Array.from({ length: 15 }, (_, index) => remote.get(`key ${index}`));
    await expect(calls[12]).rejects.toMatchObject({ code: 'OVERLOADED' });
    proxy.heal();
    expect(await Promise.allSettled(calls)).toMatchObject(
      calls.map((_, index) => ({ status: index < 10 ? 'fulfilled' : 'rejected' })),
    );
  });
});

describe('a server that closes', () => {
  test('hands over: nothing that was acknowledged is lost, nothing is done twice, and the watch goes on', async () => {
    const dataDir = await tempDir('hand-over');
    const open = () =>
      AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false }, onError: () => {} });
    let cache = await open();
    await startServer(cache);
    await using remote = await connect(dataDir, { onError: () => {} });
    const watched = gather(remote.watch({ bufferSize: 100_000 }));
    let unknown = 0;
    let stopped = false;
    const acknowledged: number[] = [];
    const write = async () => {
      for (let i = 0; !stopped; i += 1) {
        try {
          acknowledged.push((await remote.set(`key ${i}`, i, 'space')).position);
        } catch (error) {
          expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
          unknown += 1;
        }
      }
    };
    const writer = write();
    for (let round = 0; round < 3; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      await cache.shutdown();
      cache = await open();
      await startServer(cache);
    }
    await waitFor(() => expect(remote.connection).toBe('connected'));
    stopped = true;
    await writer;
    const head = cache.position;
    await waitFor(() => expect(watched.updates.at(-1)?.position).toBe(head));
    expect(watched.updates.map(({ position }) => position)).toEqual(Array.from({ length: head }, (_, i) => i + 1));
    expect(new Set(acknowledged).size).toBe(acknowledged.length);
    expect(head).toBeGreaterThanOrEqual(acknowledged.length);
    expect(head).toBeLessThanOrEqual(acknowledged.length + unknown);
    await cache.shutdown();
  });

  test('ends what a client asks after its own shutdown with CLOSED, and its watches without an error', async () => {
    await using served = await serveThroughProxy();
    const { remote } = served;
    const watched = gather(remote.watch());
    const asked = remote.get('key');
    await remote.shutdown();
    expect(await asked).toBeUndefined();
    await watched.ended;
    expect(remote.connection).toBe('closed');
    for (const call of [remote.get('key'), remote.set('key', 1)]) {
      await expect(call).rejects.toMatchObject({ code: 'CLOSED' });
    }
  });
});
