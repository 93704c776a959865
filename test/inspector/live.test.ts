import { once } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { SimulatedClock } from 'xstate';
import { AgentContextCache, InMemoryContextCache } from '../../src/index.ts';
import { type ActorTransition, LIVE_PROTOCOL, type ServerMessage } from '../../src/inspector/live-protocol.ts';
import { LiveConnection } from '../../src/inspector/server/live-connection.ts';
import { look, lookAt, waitFor } from '../support/inspector.ts';
import { freePort } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';

const watchers = (cache: AgentContextCache, count: number) =>
  waitFor(() => expect(cache.health().watchers).toBe(count));

describe('nothing is attached to the cache', () => {
  test('before a subscription and after it', async () => {
    const { cache, looking } = await look();
    const live = await looking.live();
    expect(cache.health().watchers).toBe(0);
    live.send({ type: 'subscribe', id: 'a', feed: 'updates' });
    live.send({ type: 'subscribe', id: 'b', feed: 'overview' });
    await watchers(cache, 2);
    // A second subscription of the same id replaces the first.
    live.send({ type: 'subscribe', id: 'a', feed: 'updates', filter: { namespace: 'x' } });
    live.send({ type: 'unsubscribe', id: 'b' });
    await watchers(cache, 1);
    await live.close();
    await watchers(cache, 0);
  });

  test('some seconds after the last request, and by requests for data never', async () => {
    const clock = new SimulatedClock();
    const { cache, looking } = await look({}, { clock: clock as never });
    await cache.set('a', 1);
    await looking.ask('GET /api/actors');
    await looking.ask('GET /api/updates');
    await looking.ask('GET /api/keys', { namespace: 'default' });
    expect(cache.health().watchers).toBe(0);
    await looking.ask('GET /api/overview');
    expect(cache.health().watchers).toBe(1);
    for (let second = 0; second < 4; second += 1) clock.increment(1_000);
    expect((await looking.ask('GET /api/overview')).samples).toHaveLength(4);
    for (let second = 0; second < 7; second += 1) clock.increment(1_000);
    expect(cache.health().watchers).toBe(0);
  });
});

describe('updates', () => {
  test('come in one batch 50 ms after the first, newest first, with a count of those left out', async () => {
    const clock = new SimulatedClock();
    const { cache, looking } = await look({}, { clock: clock as never });
    const live = await looking.live();
    live.send({ type: 'subscribe', id: 'u', feed: 'updates', limit: 3 });
    await watchers(cache, 1);
    for (let i = 0; i < 10; i += 1) void cache.set(`k${i}`, i);
    void cache.delete('k0');
    await cache.flush();
    clock.increment(49);
    clock.increment(1);
    const batch = await live.next('updates');
    expect(batch.rows.map(({ position, operation }) => [position, operation])).toEqual([
      [11, 'delete'],
      [10, 'set'],
      [9, 'set'],
    ]);
    expect(batch).toMatchObject({ id: 'u', counts: { set: 10, delete: 1 }, sampledAway: 8, position: 11 });
    await cache.set('later', 1);
    clock.increment(50);
    expect(await live.next('updates')).toMatchObject({ counts: { set: 1 }, sampledAway: 0 });
  });

  test('are filtered by the server, by operation, namespace, key and agent', async () => {
    const { cache, looking } = await look();
    const live = await looking.live();
    const filters = {
      operation: { operation: ['delete' as const] },
      one: { namespace: 'trip:1' },
      some: { namespace: 'trip:*', key: 'p*n' },
      agent: { agent: 'plan*' },
      none: { key: 'plan*x' },
    };
    for (const [id, filter] of Object.entries(filters)) live.send({ type: 'subscribe', id, feed: 'updates', filter });
    await watchers(cache, 5);
    await cache.set('plan', 1, 'trip:1', { agent: 'planner' });
    await cache.set('plan', 2, 'trip:2');
    await cache.set('note', 3, 'trip:1');
    await cache.delete('plan', 'trip:2');
    const positions = new Map<string, number[]>();
    const wanted = { operation: [4], one: [1, 3], some: [1, 2, 4], agent: [1] };
    await waitFor(() => {
      for (const { id, rows } of live.messages.splice(0) as Extract<ServerMessage, { type: 'updates' }>[]) {
        positions.set(id, [...(positions.get(id) ?? []), ...rows.map(({ position }) => position)].sort());
      }
      expect(Object.fromEntries(positions)).toEqual(wanted);
    });
  });

  test('holds no more of a hundred thousand than one batch shows', async () => {
    const clock = new SimulatedClock();
    const { cache, looking } = await look({}, { clock: clock as never });
    const live = await looking.live();
    live.send({ type: 'subscribe', id: 'u', feed: 'updates', limit: 10 });
    await watchers(cache, 1);
    for (let i = 0; i < 100_000; i += 1) void cache.set('k', i);
    await cache.flush();
    clock.increment(50);
    const batch = await live.next('updates');
    expect(batch.rows).toHaveLength(10);
    expect(batch).toMatchObject({ counts: { set: 100_000 }, sampledAway: 99_990, position: 100_000 });
  });
});

describe('a page that reads slowly', () => {
  function slowly() {
    const clock = new SimulatedClock();
    const socket = {
      ...{ OPEN: 1, readyState: 1, bufferedAmount: 0, sent: [] as ServerMessage[], closed: 0, terminated: false },
      send: (text: string) => void socket.sent.push(JSON.parse(text)),
      close: (code: number) => {
        socket.closed = code;
      },
      terminate: () => {
        socket.terminated = true;
      },
    };
    let changed = () => {};
    let collected = 0;
    const connection = new LiveConnection({
      ...{ socket: socket as never, clock: clock as never, hello: { type: 'hello', logId: 'l', position: 0 } },
      feedOf: () => (id, hasChanged) => {
        changed = hasChanged;
        return {
          collect: () => {
            collected += 1;
            return { type: 'verify', id, progress: null };
          },
          stop: () => {},
        };
      },
    });
    connection.receive('{"type":"subscribe","id":"v","feed":"verify"}');
    return { clock, socket, change: () => changed(), collected: () => collected };
  }

  test('gets no batches until it has caught up, and then one', () => {
    const { clock, socket, change, collected } = slowly();
    socket.bufferedAmount = 2 ** 20 + 1;
    for (let i = 0; i < 100; i += 1) {
      change();
      clock.increment(50);
    }
    expect([collected(), socket.sent.length]).toEqual([0, 1]);
    socket.bufferedAmount = 2 ** 20;
    clock.increment(50);
    expect([collected(), socket.sent.length, socket.closed]).toEqual([1, 2, 0]);
  });

  test('is disconnected after 30 s', () => {
    const { clock, socket, change } = slowly();
    socket.bufferedAmount = 2 ** 20 + 1;
    change();
    for (let ms = 0; ms < 29_950; ms += 50) clock.increment(50);
    expect(socket.closed).toBe(0);
    for (let ms = 0; ms < 200; ms += 50) clock.increment(50);
    expect([socket.closed, socket.terminated]).toEqual([1013, true]);
  });
});

describe('actors', () => {
  test('sends the transitions of one as they happen, with their ids in the statechart', async () => {
    const secondaryCache = new InMemoryContextCache();
    const { cache, looking } = await look({}, { secondaryCache });
    await cache.synced();
    const live = await looking.live();
    live.send({ type: 'subscribe', id: 'm', feed: 'actor', actor: 'follower:mirror' });
    expect(await live.next('actor')).toMatchObject({ actor: { state: 'following' }, transitions: [] });
    await cache.set('a', 1);
    // One batch, or two if the first was sent in between.
    const transitions: ActorTransition[] = [];
    while (transitions.length < 2) transitions.push(...(await live.next('actor')).transitions);
    expect(transitions.map(({ from, to }) => `${from} ${to}`)).toEqual([
      'following catchingUp',
      'catchingUp following',
    ]);
    const { machines } = await looking.ask('GET /api/machines');
    const graph = machines.find(({ id }) => id === 'follower');
    for (const { from, to, transitions: ids } of transitions) {
      expect(ids.length).toBeGreaterThan(0);
      for (const id of ids) {
        expect(graph?.transitions.find((each) => each.id === id)).toMatchObject({ source: from, target: to });
      }
    }
  });

  test('goes on with a namespace that is dropped and written again', async () => {
    const { cache, looking } = await look();
    await cache.set('a', 1, 'n');
    const live = await looking.live();
    live.send({ type: 'subscribe', id: 'n', feed: 'actor', actor: 'namespace:n' });
    expect(await live.next('actor')).toMatchObject({ actor: { state: 'ready', namespace: { version: 1 } } });
    await cache.set('a', 2, 'n');
    expect(await live.next('actor', ({ stayed }) => stayed > 0)).toMatchObject({
      actor: { namespace: { version: 2 } },
    });
    await cache.dropNamespace('n');
    await live.next('actor', ({ actor }) => actor === null);
    await cache.set('a', 3, 'n');
    await live.next('actor', ({ actor }) => actor?.namespace?.version === 4);
    await cache.set('a', 4, 'n');
    await live.next('actor', ({ actor }) => actor?.namespace?.version === 5);
  });

  test('sends supervisor and followers at once, and again when they have changed', async () => {
    const { cache, looking } = await look({}, { secondaryCache: new InMemoryContextCache() });
    const live = await looking.live();
    live.send({ type: 'subscribe', id: 'a', feed: 'actors' });
    const first = await live.next('actors');
    expect(first.followers.map(({ id }) => id)).toEqual(['follower:mirror']);
    await cache.set('a', 1);
    const delivered = ({ followers }: { followers: typeof first.followers }) => followers[0]?.follower?.delivered === 1;
    expect(await live.next('actors', delivered)).toMatchObject({ supervisor: { state: 'running' } });
  });
});

test('measures the overview once a second', async () => {
  const clock = new SimulatedClock();
  const { cache, looking } = await look({}, { clock: clock as never, secondaryCache: new InMemoryContextCache() });
  const live = await looking.live();
  live.send({ type: 'subscribe', id: 'o', feed: 'overview' });
  await watchers(cache, 1);
  for (let i = 0; i < 50; i += 1) await cache.set(`k${i}`, i);
  clock.increment(1_000);
  clock.increment(50);
  const { sample } = await live.next('overview');
  expect(sample).toMatchObject({ position: 50, updatesPerSecond: 50, commitP50Ms: 0, commitP99Ms: 0, restarts: 0 });
  expect(Object.keys(sample.lag)).toEqual(['mirror']);
  clock.increment(1_000);
  clock.increment(50);
  expect((await live.next('overview')).sample).toMatchObject({ updatesPerSecond: 0, commitP50Ms: null });
  expect((await looking.ask('GET /api/overview')).samples).toHaveLength(2);
});

test('reports the progress of a verification', async () => {
  const { cache, looking } = await look();
  await cache.set('a', 1);
  const live = await looking.live();
  live.send({ type: 'subscribe', id: 'v', feed: 'verify' });
  expect(await live.next('verify')).toMatchObject({ progress: null });
  expect(await looking.ask('POST /api/verify')).toMatchObject({ ok: true });
  expect(await live.next('verify')).toMatchObject({ id: 'v' });
});

describe('a message that is not understood', () => {
  test('gets an error if it is a subscription', async () => {
    const { looking } = await look();
    const live = await looking.live();
    live.send({ type: 'subscribe', id: 'x', feed: 'moon' } as never);
    expect(await live.next('error')).toMatchObject({ id: 'x', code: 'INVALID_OPTION' });
    live.send({ type: 'subscribe', id: 'y', feed: 'updates', limit: 501 });
    expect(await live.next('error')).toMatchObject({ id: 'y', code: 'INVALID_OPTION' });
    for (let i = 0; i < 17; i += 1) live.send({ type: 'subscribe', id: String(i), feed: 'verify' });
    expect(await live.next('error')).toMatchObject({ id: '16', code: 'OVERLOADED' });
  });

  test.each(['no json', 'null', '{"type":"subscribe"}', '{"type":"jump","id":"x"}'])(
    'ends it where it is %s',
    async (text) => {
      const { looking } = await look();
      const live = await looking.live();
      live.socket.send(text);
      const [code] = await once(live.socket, 'close');
      expect(code).toBe(1008);
    },
  );
});

describe('the end', () => {
  test('of the cache closes the connections, and frees the port', async () => {
    const { cache, looking } = await look();
    const live = await looking.live();
    const closed = once(live.socket, 'close');
    await cache.shutdown();
    expect((await closed)[0]).toBe(1001);
    await expect(looking.fetch('/api/meta')).rejects.toThrow();
    await expect(lookAt(cache)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('refuses a page that reconnects while the inspector closes', async () => {
    const clock = new SimulatedClock();
    const { looking } = await look({}, { clock: clock as never });
    const slow = await looking.live();
    slow.socket.pause();
    const closed = looking.inspector.close();
    const back = new WebSocket(slow.socket.url, [LIVE_PROTOCOL, `token.${looking.inspector.token}`]);
    back.on('error', () => {});
    const status = await new Promise((resolve) => {
      back.on('open', () => resolve(101));
      back.on('unexpected-response', (_, response) => resolve(response.resume().statusCode));
    });
    expect(status).toBe(503);
    clock.increment(500);
    await closed;
    slow.socket.resume();
  });

  test('of a process: the page reconnects to the next one, and reads the updates it has missed', async () => {
    const dataDir = await tempDir('inspector-live');
    const first = await AgentContextCache.open({ dataDir, natsUrl: null });
    // A port outside the ephemeral range, which no other program's connection can be given meanwhile.
    const before = await lookAt(first, { port: await freePort(), token: 'the-same-token-as-before' });
    await first.set('a', 1);
    const live = await before.live();
    const { logId } = await before.ask('GET /api/meta');
    await first.shutdown();
    await waitFor(() => expect(live.socket.readyState).toBe(3));
    await using second = await AgentContextCache.open({ dataDir, natsUrl: null });
    await second.set('b', 2);
    const { port, token } = before.inspector;
    const after = await lookAt(second, { port, token });
    await after.live();
    expect(await after.ask('GET /api/meta')).toMatchObject({ logId });
    const { items } = await after.ask('GET /api/updates');
    expect(items.map(({ position, key }) => [position, key])).toEqual([
      [2, 'b'],
      [1, 'a'],
    ]);
  });

  test('an inspector given as an option starts with the cache and prints its address', async () => {
    const onListening = vi.fn<(url: string) => void>();
    const cache = new AgentContextCache({ inspector: { onListening } });
    await waitFor(() => expect(onListening).toHaveBeenCalled());
    const url = onListening.mock.calls[0]?.[0] ?? '';
    const { origin, hash } = new URL(url);
    const headers = { authorization: `Bearer ${hash.slice('#token='.length)}` };
    expect((await fetch(`${origin}/api/meta`, { headers })).status).toBe(200);
    await cache.shutdown();
    await expect(fetch(`${origin}/api/meta`, { headers })).rejects.toThrow();
  });

  test('if the port is taken, the cache goes on and reports it', async () => {
    const { looking } = await look();
    const onError = vi.fn<(error: Error) => void>();
    await using cache = new AgentContextCache({ inspector: { port: looking.inspector.port }, onError });
    await waitFor(() => expect(onError.mock.calls[0]?.[0]).toMatchObject({ code: 'INVALID_OPTION' }));
    expect(cache.health().status).toBe('ok');
  });
});
