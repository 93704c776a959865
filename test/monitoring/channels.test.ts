import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache, InMemoryContextCache } from '../../src/index.ts';
import { CHANNELS, type ChannelMessages } from '../../src/monitoring.ts';
import { startServer } from '../../src/server.ts';
import { closing } from '../support/cache.ts';
import { tempDir } from '../support/temp-dir.ts';

type Name = keyof ChannelMessages;
/** An event of a channel, with the message as it was then. */
type Heard<N extends Name> = { readonly event: string } & ChannelMessages[N];

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

/** Records the events of a channel until the test ends. */
function listen<N extends Name>(name: N): Heard<N>[] {
  const heard: Heard<N>[] = [];
  const note = (event: string) => (message: unknown) => {
    heard.push({ event, ...(message as ChannelMessages[N]) } as Heard<N>);
  };
  const subscribers = {
    start: note('start'),
    end: note('end'),
    asyncStart: note('asyncStart'),
    asyncEnd: note('asyncEnd'),
    error: note('error'),
  };
  const channel: TracingChannel<unknown, object> = tracingChannel(CHANNELS[name]);
  channel.subscribe(subscribers);
  stops.push(() => channel.unsubscribe(subscribers));
  return heard;
}

const eventsOf = (heard: readonly { readonly event: string; readonly command?: string }[], command: string) =>
  heard.filter((each) => each.command === command).map(({ event }) => event);

const SECRET = 'secret-key';
const VALUE = 'secret-value';

describe('commands', () => {
  test('are published with their outcome, and without keys and values', async () => {
    const heard = listen('command');
    const cache = closing(new AgentContextCache());
    await cache.set(SECRET, VALUE, 'trip', { agent: 'planner' });
    expect(cache.get(SECRET, 'trip')).toBe(VALUE);
    await expect(cache.set(SECRET, VALUE, 'trip', { ifVersion: 0 })).rejects.toThrow();
    expect(eventsOf(heard, 'context.get')).toEqual(['start', 'end']);
    const [start, end, , ended] = heard;
    expect(start).toEqual({
      event: 'start',
      command: 'context.set',
      namespace: 'trip',
      agent: 'planner',
      log: cache.health().log.id,
      size: undefined,
      operation: undefined,
      condition: undefined,
      trace: undefined,
      done: false,
      code: undefined,
    });
    expect(end).toMatchObject({ event: 'end', done: false });
    expect(ended).toMatchObject({ event: 'asyncEnd', done: true, changed: true, position: 1, code: undefined });
    expect(heard.filter(({ command }) => command === 'context.get').at(-1)).toMatchObject({ done: true, found: 1 });
    const failed = heard.filter(({ condition }) => condition === 'create');
    expect(failed.map(({ event }) => event)).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd']);
    expect(failed.at(-1)).toMatchObject({ code: 'VERSION_CONFLICT', done: true });
    expect(JSON.stringify(heard)).not.toMatch(/secret/);
    expect(heard.some((message) => 'error' in message)).toBe(false);
  });

  test('are published with key and error if that was asked for', async () => {
    const heard = listen('command');
    const cache = closing(new AgentContextCache({ monitoring: { details: true } }));
    await expect(cache.set(SECRET, VALUE, 'trip', { ifVersion: 4 })).rejects.toThrow();
    cache.get(SECRET, 'trip');
    expect(heard[0]).toMatchObject({ key: SECRET, condition: 'replace' });
    expect(heard.find(({ event }) => event === 'asyncEnd')?.error).toMatchObject({ code: 'VERSION_CONFLICT' });
    expect(heard.at(-1)).toMatchObject({ command: 'context.get', key: SECRET, found: 0 });
    expect(JSON.stringify(heard)).not.toContain(VALUE);
  });

  test('are seen through handles, typed commands, messages and all other methods', async () => {
    const heard = listen('command');
    const cache = closing(new AgentContextCache());
    const trip = cache.namespace('trip');
    await trip.set('a', 1);
    await trip.setMany({ b: 1, c: 2 });
    await trip.touch('a', { ttl: '1h' });
    trip.getMany(['a', 'b', 'x']);
    trip.has('a');
    trip.entry('a');
    trip.entries();
    trip.listKeys();
    cache.listNamespaces();
    await trip.update('a', () => 2);
    await cache.ask({ type: 'context.get', key: 'a', namespace: 'trip' });
    cache.supervisor.send({ type: 'context.delete', key: 'a', namespace: 'trip' });
    await cache.ask({ type: 'cache.flush' });
    await trip.clear();
    await trip.drop();
    await nextTurn();
    const starts = heard.filter(({ event }) => event === 'start').map(({ command }) => command);
    expect(starts).toEqual([
      'context.set',
      'context.batch',
      'context.touch',
      'context.getMany',
      'context.has',
      'context.entry',
      'context.entries',
      'context.keys',
      'context.namespaces',
      'context.entry',
      'context.set',
      'context.get',
      'context.delete',
      'cache.flush',
      'context.clear',
      'context.drop',
    ]);
    const ends = heard.filter(({ done, event }) => done && event !== 'asyncStart' && event !== 'error');
    expect(ends).toHaveLength(starts.length);
    expect(ends.find(({ command }) => command === 'context.getMany')).toMatchObject({ size: 3, found: 2 });
    expect(ends.find(({ command }) => command === 'context.batch')).toMatchObject({ size: 2, changed: true });
    expect(ends.find(({ command }) => command === 'context.delete')).toMatchObject({ changed: true });
  });

  test('that a caller does not await still report their failure once, and only then', async () => {
    listen('command');
    const reported: string[] = [];
    const cache = closing(new AgentContextCache({ onError: (error) => reported.push(error.name) }));
    void cache.set('key', 1, 'default', { ifVersion: 7 });
    await cache.set('key', 1, 'default', { ifVersion: 7 }).catch(() => {});
    await nextTurn();
    await nextTurn();
    expect(reported).toEqual(['VersionConflictError']);
  });

  test('over an asynchronous primary end when the primary has answered', async () => {
    class Slow extends InMemoryContextCache {
      override readonly synchronous = false as never;
      override get(...args: Parameters<InMemoryContextCache['get']>): never {
        return nextTurn().then(() => super.get(...args)) as never;
      }
    }
    const heard = listen('command');
    const cache = closing(new AgentContextCache({ primaryCache: new Slow() }));
    await cache.set('a', 1);
    await cache.get('a');
    expect(eventsOf(heard, 'context.get')).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
    expect(heard.at(-1)).toMatchObject({ found: 1 });
  });
});

test('commits, deliveries and connections are published', async () => {
  const [commits, deliveries, connects] = [listen('commit'), listen('delivery'), listen('connect')];
  const cache = await AgentContextCache.open({
    dataDir: await tempDir(),
    secondaryCache: new InMemoryContextCache(),
  });
  closing(cache);
  await cache.setMany({ a: 'x'.repeat(100), b: 2 }, 'trip');
  await cache.synced();
  const log = cache.health().log.id;
  expect(commits.map(({ event }) => event)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
  expect(commits.at(-1)).toMatchObject({ log, durable: true, updates: 2, first: 1, last: 2, done: true });
  expect(commits.at(-1)?.bytes).toBeGreaterThan(100);
  const mirror = deliveries.filter(({ follower }) => follower === 'mirror');
  expect(mirror.at(-1)).toMatchObject({ event: 'asyncEnd', log, through: 2, done: true, code: undefined });
  expect(mirror.reduce((sum, { event, updates }) => sum + (event === 'asyncEnd' ? updates : 0), 0)).toBe(2);
  expect(connects.find(({ follower }) => follower === 'mirror')).toMatchObject({ event: 'start', attempt: 1 });
  expect(JSON.stringify([commits, deliveries, connects])).not.toContain('xxx');
});

test('commits in memory are published, and failed connections with their attempt', async () => {
  class Away extends InMemoryContextCache {
    override set(): never {
      throw new TypeError(`no ${SECRET}`);
    }
  }
  const [commits, deliveries] = [listen('commit'), listen('delivery')];
  const options = { secondaryCache: new Away(), onError: () => {}, backOff: { initialMs: 5 } };
  const cache = closing(new AgentContextCache(options));
  await cache.set('a', 1);
  await nextTurn();
  expect(commits.at(-1)).toMatchObject({ event: 'end', durable: false, updates: 1, last: 1, done: true });
  await expect.poll(() => deliveries.some(({ event }) => event === 'error')).toBe(true);
  expect(deliveries.find(({ event }) => event === 'error')?.code).toBeTypeOf('string');
  expect(JSON.stringify(deliveries)).not.toMatch(/secret/);
});

describe('a client', () => {
  test('publishes its commands and connections on channels of its own', async () => {
    const [heard, connects] = [listen('clientCommand'), listen('clientConnect')];
    const cache = closing(new AgentContextCache());
    await using server = await startServer(cache);
    await using remote = await connect(server.url, { token: server.token });
    const trip = remote.namespace('trip');
    await trip.set(SECRET, VALUE, { agent: 'planner' });
    await trip.get(SECRET);
    await trip.getMany([SECRET, 'b']);
    await trip.entries();
    for await (const key of trip.keys()) expect(key).toBe(SECRET);
    await expect(trip.set(SECRET, 1, { ifVersion: 0 })).rejects.toThrow();
    await remote.health();
    expect(connects.map(({ event }) => event)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
    expect(connects[0]).toMatchObject({ attempt: 1, target: `the server at ${server.url}` });
    const starts = heard.filter(({ event }) => event === 'start').map(({ command }) => command);
    expect(starts).toEqual([
      'context.set',
      'context.get',
      'context.getMany',
      'context.entries',
      'context.keys',
      'context.set',
      'cache.health',
    ]);
    const ends = heard.filter(({ event }) => event === 'asyncEnd');
    expect(ends).toHaveLength(starts.length);
    expect(ends[0]).toMatchObject({ namespace: 'trip', agent: 'planner', changed: true, position: 1 });
    expect(ends[0]).toMatchObject({ address: '127.0.0.1', port: server.port, log: cache.health().log.id });
    expect(ends.slice(1, 5).map(({ found }) => found)).toEqual([1, 2, 1, 1]);
    expect(ends[5]).toMatchObject({ code: 'VERSION_CONFLICT', condition: 'create' });
    expect(JSON.stringify([heard, connects])).not.toMatch(/secret/);
    expect(JSON.stringify([heard, connects])).not.toContain(server.token);
  });

  test('publishes an attempt that fails', async () => {
    const connects = listen('clientConnect');
    await expect(connect('http://127.0.0.1:9', { token: 'x' })).rejects.toThrow();
    expect(connects.at(-1)).toMatchObject({ event: 'asyncEnd', code: 'UNREACHABLE', done: true });
  });
});
