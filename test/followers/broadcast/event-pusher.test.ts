import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { SimulatedClock } from 'xstate';
import {
  ContextUpdateEventPusher,
  type ContextUpdateEventPusherOptions,
} from '../../../src/followers/broadcast/event-pusher.ts';
import type { TopicMessage } from '../../../src/followers/broadcast/wire-frames.ts';
import { range } from '../../support/broadcast.ts';
import { subscribeRaw } from '../../support/nats-wire.ts';
import { freePort } from '../../support/server-process.ts';
import { type NatsOptions, startNats, type TestServer } from '../../support/servers.ts';
import { eventually, passing } from '../../support/waiting.ts';

async function server(options: NatsOptions = {}): Promise<TestServer> {
  const nats = await startNats({ jetstream: false, ...options });
  onTestFinished(() => nats[Symbol.asyncDispose]());
  return nats;
}

function pusherTo(url: string, options: Partial<ContextUpdateEventPusherOptions> = {}): ContextUpdateEventPusher {
  const pusher = new ContextUpdateEventPusher({ url, ...options });
  onTestFinished(() => pusher.disconnect());
  return pusher;
}

async function subscriber(url: string, subjects: readonly string[]) {
  const raw = await subscribeRaw(url, subjects);
  onTestFinished(() => raw.close());
  return raw;
}

function messages(topic: string, ids: readonly number[], payload = '{}'): TopicMessage[] {
  return ids.map((id) => ({ topic, id: `log-${id}`, payload }));
}

/** Open TCP sockets of this process. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'TCPSocketWrap').length;
}

/** A server's address by way of a relay that keeps what the client sends. */
async function tapped(nats: TestServer): Promise<{ url: string; sent: () => string }> {
  let sent = '';
  const relay = createServer((client) => {
    const upstream = createConnection({ host: '127.0.0.1', port: nats.port });
    client.on('data', (chunk) => {
      sent += chunk.toString('latin1');
    });
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void relay.close());
  return { url: `nats://127.0.0.1:${(relay.address() as AddressInfo).port}`, sent: () => sent };
}

describe('publishing', () => {
  it('sends each message once, in order, with the id of its topic, through windows of any size', async () => {
    const nats = await server();
    const raw = await subscriber(nats.url, ['a', 'über.b']);
    const pusher = pusherTo(nats.url, { window: { messages: 7, bytes: 100 } });
    await pusher.connect();
    const batch = range(1, 50).flatMap((id) => [
      { topic: 'a', id: `log-${id}`, payload: `{"n":${id}}` },
      { topic: 'über.b', id: `log-${id}`, payload: Buffer.from(`"${'x'.repeat(id)}"`) },
    ]);
    await pusher.publish(batch);
    await raw.flush();
    expect(raw.messages.map(({ subject, payload }) => [subject, payload])).toEqual(
      batch.map(({ topic, payload }) => [topic, payload.toString()]),
    );
    expect(raw.messages.map(({ headers }) => headers)).toEqual(
      batch.map(({ topic, id }) => `NATS/1.0\r\nNats-Msg-Id: ${id}:${topic}\r\n\r\n`),
    );
  });

  it('refuses a message over max_payload before it sends anything, and allows one of exactly the limit', async () => {
    const nats = await server({ config: 'max_payload: 2048' });
    const raw = await subscriber(nats.url, ['topic']);
    const pusher = pusherTo(nats.url);
    await pusher.connect();
    expect(pusher.maxPayload).toBe(2048);
    const limit = pusher.payloadLimit('topic', 'log-1');
    const large = messages('topic', [1], 'x'.repeat(limit + 1));
    await expect(pusher.publish([...messages('topic', [0]), ...large])).rejects.toMatchObject({
      code: 'INVALID_VALUE',
    });
    await pusher.publish(messages('topic', [1], 'x'.repeat(limit)));
    await raw.flush();
    expect(raw.messages.map(({ payload }) => payload.length)).toEqual([limit]);
  });

  it('refuses an id that would end its header', async () => {
    const nats = await server();
    const pusher = pusherTo(nats.url);
    await pusher.connect();
    const message = { topic: 'a', id: 'log-1\r\nX: y', payload: '{}' };
    await expect(pusher.publish([message])).rejects.toMatchObject({ code: 'INVALID_VALUE' });
  });

  it('never has more than a window on the way that is not confirmed', async () => {
    const nats = await server();
    const { url, sent } = await tapped(nats);
    const pusher = pusherTo(url, { window: { messages: 7, bytes: 50 } });
    await pusher.connect();
    await pusher.publish(messages('a', range(1, 20), 'x'));
    await pusher.publish(messages('b', range(1, 20), 'x'.repeat(20)));
    await pusher.publish(messages('c', [1, 2], 'x'.repeat(80)));
    const windows = sent()
      .split('PING\r\n')
      .map((window) => ['a', 'b', 'c'].map((topic) => window.split(`HPUB ${topic} `).length - 1))
      .filter((counts) => counts.some((count) => count > 0));
    const of = (topic: number, ...sizes: number[]) => sizes.map((size) => [0, 0, 0].with(topic, size));
    expect(windows).toEqual([...of(0, 7, 7, 6), ...of(1, ...Array<number>(10).fill(2)), ...of(2, 1, 1)]);
  });

  it('is not held up by one that subscribes to everything, and so to questions nobody answers', async () => {
    const nats = await server();
    const raw = await subscriber(nats.url, ['>']);
    // Who asks an unanswered question waits for a second; that is to end long before the deadline.
    const pusher = pusherTo(nats.url, { connectTimeoutMs: 60_000 });
    await pusher.connect();
    await pusher.publish(messages('a', [1]));
    await raw.flush();
    expect(raw.messages.filter(({ subject }) => subject === 'a')).toHaveLength(1);
  });

  it('refuses a topic that is none', async () => {
    const nats = await server();
    const pusher = pusherTo(nats.url);
    await pusher.connect();
    await expect(pusher.publish(messages('a.*', [1]))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('says so where there is no connection', async () => {
    const pusher = pusherTo('nats://127.0.0.1:1');
    await expect(pusher.publish(messages('a', [1]))).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });
});

describe('a server that does not do what it should', () => {
  it('that is stopped ends the connection: told to those who listen, and a new connection works', async () => {
    const nats = await server();
    const pusher = pusherTo(nats.url);
    const lost = vi.fn();
    pusher.onLost(lost);
    await pusher.connect();
    await nats.stop();
    await eventually(() => expect(lost).toHaveBeenCalledTimes(1));
    expect(lost.mock.calls[0]?.[0]).toMatchObject({ code: 'UNREACHABLE' });
    expect(pusher.connected).toBe(false);
    await expect(pusher.publish(messages('a', [1]))).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await nats.restart();
    const raw = await subscriber(nats.url, ['a']);
    await pusher.connect();
    await pusher.publish(messages('a', [2]));
    await raw.flush();
    expect(raw.messages).toHaveLength(1);
    expect(lost).toHaveBeenCalledTimes(1);
  });

  it('that is killed in the middle of a batch makes it fail', async () => {
    const nats = await server();
    const pusher = pusherTo(nats.url, { flushTimeoutMs: 60_000 });
    await pusher.connect();
    await pusher.publish(messages('a', [0]));
    nats.pause();
    const lost = vi.fn();
    pusher.onLost(lost);
    const publishing = pusher.publish(messages('a', range(1, 100)));
    const outcome = expect(publishing).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await nats.kill();
    await outcome;
    expect(lost).not.toHaveBeenCalled();
  });

  it('that stalls makes a batch fail at its deadline, with the outcome unknown, and the connection is gone', async () => {
    const nats = await server();
    const clock = new SimulatedClock();
    const pusher = pusherTo(nats.url, { clock });
    await pusher.connect();
    await pusher.publish(messages('a', [0]));
    nats.pause();
    const publishing = passing(clock, pusher.publish(messages('a', range(1, 100))));
    await expect(publishing).rejects.toMatchObject({ code: 'TIMED_OUT' });
    expect(pusher.connected).toBe(false);
  });

  it('that is stalled from the beginning makes connecting fail at its deadline and leaves no socket', async () => {
    const nats = await server();
    await eventually(() => expect(sockets()).toBe(0));
    nats.pause();
    const clock = new SimulatedClock();
    const pusher = pusherTo(nats.url.replace('127.0.0.1', 'localhost'), { clock, connectTimeoutMs: 60_000 });
    const connecting = pusher.connect();
    connecting.catch(() => {});
    await eventually(() => expect(sockets()).toBeGreaterThan(0));
    await expect(passing(clock, connecting)).rejects.toMatchObject({ code: 'TIMED_OUT' });
    await eventually(() => expect(sockets()).toBe(0));
  });

  it('that refuses a topic makes the batch fail with the topic and the remedy', async () => {
    const nats = await server({
      config: 'authorization { users: [{ user: u, password: p, permissions: { publish: { deny: ["secret.>"] } } }] }',
    });
    const pusher = pusherTo(nats.url.replace('//', '//u:p@'));
    await pusher.connect();
    await pusher.publish(messages('open', [1]));
    const refused = pusher.publish([...messages('open', [2]), ...messages('secret.a', [2])]);
    await expect(refused).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringMatching(/publish to the topic "secret\.a".*permissions/),
    });
    await pusher.connect();
    await pusher.publish(messages('open', [3]));
  });

  it('that is not there is unreachable', async () => {
    const pusher = pusherTo(`nats://127.0.0.1:${await freePort()}`);
    await expect(pusher.connect()).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  it('that is no NATS server is told apart from nothing at all only by its message', async () => {
    const open = new Set<Socket>();
    const http = createServer((socket) => open.add(socket.on('error', () => {}).end('HTTP/1.1 400\r\n\r\n')));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void http.close());
    const { port } = http.address() as AddressInfo;
    const pusher = pusherTo(`nats://127.0.0.1:${port}`, { connectTimeoutMs: 2_000 });
    await expect(pusher.connect()).rejects.toMatchObject({ code: expect.stringMatching(/UNREACHABLE|TIMED_OUT/) });
  });

  it('that takes no headers: what to do', async () => {
    const open = new Set<Socket>();
    const old = createServer((socket) => {
      open.add(socket.on('error', () => {}));
      socket.write('INFO {"server_id":"OLD","version":"2.1.0","max_payload":1048576}\r\n');
      socket.on('data', (data) => data.includes('PING') && socket.write('PONG\r\n'));
    });
    await new Promise<void>((resolve) => old.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void old.close());
    const pusher = pusherTo(`nats://127.0.0.1:${(old.address() as AddressInfo).port}`);
    await expect(pusher.connect()).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringContaining('2.2 or later'),
    });
    await eventually(() => expect([...open].every((socket) => socket.destroyed)).toBe(true));
  });
});

describe('stopping', () => {
  it('an aborted signal ends connecting at once and leaves no socket', async () => {
    const nats = await server();
    await eventually(() => expect(sockets()).toBe(0));
    nats.pause();
    const abort = new AbortController();
    const connecting = pusherTo(nats.url, { connectTimeoutMs: 60_000 }).connect(abort.signal);
    const outcome = expect(connecting).rejects.toThrow('enough');
    await eventually(() => expect(sockets()).toBe(1));
    abort.abort(new Error('enough'));
    await outcome;
    await eventually(() => expect(sockets()).toBe(0));
  });

  it('an aborted signal ends publishing at once', async () => {
    const nats = await server();
    const pusher = pusherTo(nats.url, { flushTimeoutMs: 60_000 });
    await pusher.connect();
    await pusher.publish(messages('a', [0]));
    nats.pause();
    const abort = new AbortController();
    const publishing = pusher.publish(messages('a', [1]), abort.signal);
    abort.abort(new Error('enough'));
    await expect(publishing).rejects.toThrow('enough');
    expect(pusher.connected).toBe(false);
  });

  it('disconnect gives up connecting, never hangs on a stalled server and may come twice', async () => {
    const nats = await server();
    const connected = pusherTo(nats.url);
    await connected.connect();
    nats.pause();
    const pusher = pusherTo(nats.url, { connectTimeoutMs: 60_000 });
    const outcome = expect(pusher.connect()).rejects.toMatchObject({ code: 'CLOSED' });
    await pusher.disconnect();
    await outcome;
    const lost = vi.fn();
    connected.onLost(lost);
    await connected.disconnect();
    await connected.disconnect();
    expect(lost).not.toHaveBeenCalled();
  });
});

describe('credentials', () => {
  const config = 'authorization { user: agent, password: "s3cr%t" }';

  it('in the URL, and never in a message', async () => {
    const nats = await server({ config });
    const right = pusherTo(nats.url.replace('//', '//agent:s3cr%25t@'));
    await right.connect();
    const wrong = pusherTo(nats.url.replace('//', '//agent:wrong-one@'));
    const error = await wrong.connect().catch((e: Error) => e);
    expect(error).toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringContaining('refused the credentials'),
    });
    expect(String(error) + String((error as Error).cause) + wrong.description).not.toMatch(/wrong-one|agent:/);
    expect(right.description).toBe(`127.0.0.1:${nats.port}`);
  });

  it('from a function, asked again for each connection', async () => {
    const nats = await server({ config });
    let pass = 'not yet';
    const pusher = pusherTo(nats.url, { connection: () => ({ user: 'agent', pass }) });
    await expect(pusher.connect()).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    pass = 's3cr%t';
    await pusher.connect();
    expect(pusher.connected).toBe(true);
  });

  it('as a token', async () => {
    const nats = await server({ config: 'authorization { token: "t-1" }' });
    await pusherTo(nats.url.replace('//', '//t-1@')).connect();
    await pusherTo(nats.url, { connection: { token: 't-1' } }).connect();
  });

  it('from a file that is not there: an error that names it', async () => {
    const nats = await server();
    const credentials = join(nats.dir, 'none.creds');
    await expect(pusherTo(nats.url, { connection: { credentials } }).connect()).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(credentials),
    });
  });

  it.each(['caFile', 'certFile', 'keyFile'])('names the %s for TLS if it cannot be read', async (name) => {
    const nats = await server();
    const file = join(nats.dir, 'none.pem');
    await expect(pusherTo(nats.url, { connection: { tls: { [name]: file } } }).connect()).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(file),
    });
  });

  it('from a file that is no credentials file: an error, and no hanging', async () => {
    const nats = await server({ config: 'authorization { token: "t-1" }' });
    const credentials = join(nats.dir, 'bad.creds');
    await writeFile(credentials, 'nothing of the kind');
    await expect(pusherTo(nats.url, { connection: { credentials } }).connect()).rejects.toThrow();
  });

  it.each(['', 'http://h', 'nats://', 'nats://u:%zz@h', 'nats://h:99999'])(
    'an URL that cannot be understood: %j',
    (url) => {
      expect(() => new ContextUpdateEventPusher({ url })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    },
  );
});
