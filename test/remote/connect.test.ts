import { describe, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache, BaseContextCache, type ContextStore, type JsonValue } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { PING_MS } from '../../src/wire/socket-protocol.ts';
import { simulatedClock } from '../support/cache.ts';
import { waitFor } from '../support/cli.ts';
import { serveThroughProxy } from '../support/served.ts';
import { freePort } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';

const TOKEN = 'token-of-this-test-and-no-other';

describe('connect', () => {
  test('refuses what it cannot connect to, with the reason', async () => {
    const empty = await tempDir('not-served');
    const nowhere = `http://127.0.0.1:${await freePort()}`;
    const cases: readonly (readonly [() => Promise<unknown>, string, string])[] = [
      [() => connect(`${empty}/none`), 'NOT_FOUND', 'There is no directory'],
      [() => connect(empty), 'UNREACHABLE', 'No process serves'],
      [() => connect(nowhere, { token: TOKEN }), 'UNREACHABLE', 'ECONNREFUSED'],
      [() => connect(nowhere), 'INVALID_OPTION', 'needs the token'],
      [() => connect('http://user:secret@127.0.0.1:1', { token: TOKEN }), 'INVALID_OPTION', 'a host and a port'],
      [() => connect('http://127.0.0.1:1/path', { token: TOKEN }), 'INVALID_OPTION', 'a host and a port'],
      [() => connect(''), 'INVALID_OPTION', 'a data directory, or a URL'],
      [() => connect(nowhere, { tokne: TOKEN } as never), 'INVALID_OPTION', 'Did you mean token?'],
      [() => connect(nowhere, { token: TOKEN, timeoutMs: 'soon' }), 'INVALID_OPTION', 'timeoutMs'],
      [() => connect(nowhere, { token: TOKEN, maxWaiting: 0 }), 'INVALID_OPTION', 'maxWaiting'],
    ];
    for (const [call, code, message] of cases) {
      await expect(call()).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    }
  });

  test('ends its wait by the signal', async () => {
    const reason = new Error('enough');
    await expect(connect('.', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await using served = await serveThroughProxy();
    served.proxy.stall();
    const waiting = new AbortController();
    const url = `http://127.0.0.1:${served.proxy.port}`;
    const connecting = connect(url, { token: served.server.token, signal: waiting.signal });
    setTimeout(() => waiting.abort(reason), 20);
    await expect(connecting).rejects.toBe(reason);
    served.proxy.heal();
  });

  test('gives up a server that accepts and does not answer', async () => {
    await using served = await serveThroughProxy();
    served.proxy.stall();
    const clock = simulatedClock();
    const url = `http://127.0.0.1:${served.proxy.port}`;
    const connecting = connect(url, { token: served.server.token, clock });
    const failed = expect(connecting).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    clock.increment(5_000);
    await failed;
    served.proxy.heal();
  });

  test('is a ContextStore, for helpers that take any cache', async () => {
    await using served = await serveThroughProxy();
    const addNote = (store: ContextStore, note: string) =>
      store.update('notes', (notes) => [...(Array.isArray(notes) ? notes : []), note] as JsonValue, 'space');
    await addNote(served.remote, 'one');
    await addNote(served.cache, 'two');
    expect(await served.remote.get('notes', 'space')).toEqual(['one', 'two']);
  });
});

describe('a connected client', () => {
  test('reports failures that no caller handles, and no others', async () => {
    await using served = await serveThroughProxy();
    const { remote, errors } = served;
    void remote.set('key', 1, 'space', { ifVersion: 5 });
    void remote.set('\uD800', 1);
    await remote.set('key', 1, 'space', { ifVersion: 7 }).catch(() => {});
    const stop = remote.subscribe(() => {
      throw new Error('of the listener');
    });
    await remote.set('key', 1);
    await waitFor(() => expect(errors).toHaveLength(3));
    expect(errors.map(({ message }) => message).sort()).toEqual([
      'A key must be well-formed Unicode; this one has a lone surrogate.',
      'The write expected version 5 of the entry, but there is none. Read it again, then decide.',
      'of the listener',
    ]);
    stop();
  });

  test('goes on with a subscription that was too slow, from the present', async () => {
    await using served = await serveThroughProxy();
    const { cache, proxy, remote, errors } = served;
    const state = new Map<string | null, JsonValue>();
    let count = 0;
    const stop = remote.subscribe(({ operation, key, value }) => {
      count += 1;
      if (operation === 'set') state.set(key, value);
      else if (operation === 'clear_namespace') state.clear();
      else state.delete(key);
    });
    await remote.set('gone', 1, 'space');
    await waitFor(() => expect(count).toBe(1));
    proxy.stall();
    await cache.delete('gone', 'space');
    const text = 'x'.repeat(1_000);
    for (let i = 0; i < 12_000; i += 1) void cache.set(`key ${i}`, text, 'space');
    await new Promise((resolve) => setTimeout(resolve, 50));
    proxy.heal();
    await waitFor(() => expect(state.size).toBe(12_000));
    expect(state.has('gone')).toBe(false);
    expect(errors.map((error) => (error as { code?: string }).code)).toEqual(['WATCH_OVERFLOW']);
    stop();
  });

  test('refuses a watch whose buffer would cost the server too much', async () => {
    await using served = await serveThroughProxy();
    const watch = served.remote.watch({ bufferSize: 1_000_001 });
    await expect(watch.next()).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    const most = served.remote.watch({ bufferSize: 1_000_000 });
    const next = most.next();
    await served.remote.set('key', 1);
    expect((await next).value).toMatchObject({ key: 'key' });
  });

  test('holds a bounded number of views open, and opens them again on a new connection', async () => {
    await using served = await serveThroughProxy();
    const { cache, proxy, remote } = served;
    for (let i = 1; i <= 70; i += 1) await cache.set('key', i, 'space');
    const views = [];
    for (let i = 1; i <= 64; i += 1) views.push(await remote.at(i));
    await expect(remote.at(65)).rejects.toMatchObject({ code: 'OVERLOADED' });
    const again = await remote.at(7);
    again[Symbol.dispose]();
    expect(await views[6]?.get('key', 'space')).toBe(7);
    views[0]?.[Symbol.dispose]();
    expect((await remote.at(65)).position).toBe(65);
    proxy.refuse();
    proxy.heal();
    expect(await views[9]?.get('key', 'space')).toBe(10);
    await expect(views[0]?.get('key', 'space')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('takes thousands of lists and handles at a time', async () => {
    await using served = await serveThroughProxy();
    const { remote } = served;
    await remote.setMany({ a: 1, b: 2 }, 'space');
    const lists = await Promise.all(Array.from({ length: 3_000 }, () => remote.listKeys('space')));
    expect(new Set(lists.map((keys) => keys.sort().join()))).toEqual(new Set(['a,b']));
  });

  test('takes a server that has fallen silent for lost', async () => {
    const clock = simulatedClock();
    await using served = await serveThroughProxy({ client: { clock } });
    const { proxy, remote } = served;
    proxy.hold();
    const asked = remote.get('key');
    for (let i = 0; i < 4; i += 1) clock.increment(PING_MS);
    await waitFor(() => {
      clock.increment(100);
      expect(proxy.accepted).toBe(2);
    });
    expect(await asked).toBeUndefined();
    proxy.heal();
  });
});

describe('a server', () => {
  test('gives up a client that has fallen silent, and not one that answers', async () => {
    const clock = simulatedClock();
    await using served = await serveThroughProxy({ server: { clock } });
    const { server, proxy } = served;
    await using other = await connect(server.url, { token: server.token });
    proxy.stall();
    for (let i = 0; i < 6; i += 1) {
      clock.increment(PING_MS);
      // The other client answers each ping.
      await other.get('key');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await waitFor(() => expect(server.clients).toBe(1));
    expect(other.connection).toBe('connected');
    proxy.heal();
  });

  test('ends a request that takes too long', async () => {
    class Stuck extends BaseContextCache {
      override get(): Promise<undefined> {
        return new Promise(() => {});
      }
      override set = async () => {};
      override delete = async () => false;
      override clearNamespace = async () => {};
      override dropNamespace = async () => {};
      override listKeys = async () => [];
      override listNamespaces = async () => [];
    }
    const cache = new AgentContextCache({ natsUrl: null, primaryCache: new Stuck(), onError: () => {} });
    const clock = simulatedClock();
    const server = await startServer(cache as never, { clock, limits: { requestTimeoutMs: 1_000 } });
    await using remote = await connect(server.url, { token: server.token });
    const stuck = remote.get('key');
    const failed = expect(stuck).rejects.toMatchObject({ code: 'TIMED_OUT' });
    await remote.health();
    clock.increment(PING_MS);
    await failed;
    await cache.shutdown({ timeoutMs: 0 });
  });
});
