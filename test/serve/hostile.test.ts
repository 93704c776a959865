import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { connect } from '../../src/client.ts';
import { encode } from '../../src/core/encoding/codec.ts';
import { AgentContextCache } from '../../src/index.ts';
import { type CacheServer, startServer } from '../../src/server.ts';
import { ASK } from '../../src/wire/socket-protocol.ts';
import { waitFor } from '../support/cli.ts';
import { RawClient } from '../support/raw-client.ts';
import { tempDir } from '../support/temp-dir.ts';

type Headers = Readonly<Record<string, string>>;

interface Refused {
  readonly status: number;
  readonly body: string;
}

/** Asks for a WebSocket and resolves with the server's refusal. */
function upgrade(server: CacheServer, path: string, headers: Headers): Promise<Refused> {
  return new Promise((resolve, reject) => {
    const given = Object.entries({ authorization: `Bearer ${server.token}`, ...headers }).filter(
      ([, each]) => each !== '',
    );
    const url = `${server.url.replace('http', 'ws')}${path}`;
    const socket = new WebSocket(url, { headers: Object.fromEntries(given), rejectUnauthorized: false });
    socket.on('unexpected-response', async (_, response) => {
      let body = '';
      for await (const piece of response.setEncoding('utf8')) body += piece;
      resolve({ status: response.statusCode ?? 0, body });
      socket.terminate();
    });
    socket.on('open', () => reject(new Error('The server has let a stranger in.')));
    socket.on('error', () => {});
  });
}

async function fetched(server: CacheServer, path: string, headers: Headers): Promise<Refused> {
  const { request } = await (server.url.startsWith('https') ? import('node:https') : import('node:http'));
  return new Promise((resolve, reject) => {
    const given = Object.entries({ authorization: `Bearer ${server.token}`, ...headers }).filter(
      ([, each]) => each !== '',
    );
    const options = { headers: Object.fromEntries(given), rejectUnauthorized: false, agent: false } as const;
    const sent = request(`${server.url}${path}`, options, async (response) => {
      let body = '';
      for await (const piece of response.setEncoding('utf8')) body += piece;
      resolve({ status: response.statusCode ?? 0, body });
    });
    sent.on('error', reject);
    sent.end();
  });
}

const TRANSPORTS = [
  {
    name: 'HTTP',
    isSecure: false,
    ask: (server: CacheServer, headers: Headers) => fetched(server, '/v1/dump', headers),
  },
  {
    name: 'MCP',
    isSecure: false,
    ask: (server: CacheServer, headers: Headers) => fetched(server, '/mcp', headers),
  },
  {
    name: 'a WebSocket',
    isSecure: false,
    ask: (server: CacheServer, headers: Headers) => upgrade(server, '/v1/connect', headers),
  },
  {
    name: 'HTTP over TLS',
    isSecure: true,
    ask: (server: CacheServer, headers: Headers) => fetched(server, '/v1/dump', headers),
  },
  {
    name: 'MCP over TLS',
    isSecure: true,
    ask: (server: CacheServer, headers: Headers) => fetched(server, '/mcp', headers),
  },
  {
    name: 'a WebSocket over TLS',
    isSecure: true,
    ask: (server: CacheServer, headers: Headers) => upgrade(server, '/v1/connect', headers),
  },
] as const;

const STRANGERS: readonly (readonly [string, number, Headers])[] = [
  ['without a token', 401, { authorization: '' }],
  ['with another token', 401, { authorization: `Bearer ${'A'.repeat(43)}` }],
  ['with a part of the token', 401, { authorization: 'Bearer A' }],
  ['with another scheme', 401, { authorization: 'Basic A' }],
  ['of another host', 403, { host: 'evil.example' }],
  ['of this host without the port', 403, { host: '127.0.0.1' }],
  ['of a web page', 403, { origin: 'https://evil.example' }],
  ['of a page without an origin', 403, { origin: 'null' }],
];

describe('every transport', () => {
  let cache: AgentContextCache;
  let plain: CacheServer;
  let secure: CacheServer;
  let ca: Buffer;
  beforeAll(async () => {
    const folder = await tempDir('tls');
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const args = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost';
    const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert];
    execFileSync('openssl', [...args.split(' '), ...names], { stdio: 'ignore' });
    ca = readFileSync(cert);
    cache = new AgentContextCache({ natsUrl: null });
    await cache.set('secret-key', 'secret-value');
    plain = await startServer(cache);
    secure = await startServer(cache, { tls: { key: readFileSync(key), cert: ca } });
  });
  afterAll(() => cache.shutdown());

  describe.each(TRANSPORTS)('$name', ({ isSecure, ask }) => {
    test.each(STRANGERS)('refuses a request %s', async (_, status, headers) => {
      const reply = await ask(isSecure ? secure : plain, headers);
      expect(reply.status).toBe(status);
      expect(reply.body).toMatch(/^{"error":{"code":"(UNAUTHORIZED|FORBIDDEN)"/);
      expect(reply.body).not.toContain('secret');
    });
  });

  test('serves clients over TLS', async () => {
    await using remote = await connect(secure.url, { token: secure.token, tls: { ca } });
    expect(await remote.get('secret-key')).toBe('secret-value');
    await expect(connect(secure.url, { token: secure.token })).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  test('refuses a WebSocket at another path', async () => {
    expect(await upgrade(plain, '/v1/none', {})).toMatchObject({ status: 404 });
  });
});

describe('the frames of a client', () => {
  let cache: AgentContextCache;
  let server: CacheServer;
  beforeAll(async () => {
    cache = new AgentContextCache({ natsUrl: null, limits: { maxDepth: 20 } });
    server = await startServer(cache, { limits: { maxConnections: 5, maxInFlight: 8, maxMessageBytes: 100_000 } });
  });
  afterAll(() => cache.shutdown());

  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
  const BAD: readonly (readonly [string, Buffer | string, number])[] = [
    ['text', '[1,0,{"type":"cache.health"}]', 1008],
    ['no MessagePack', Buffer.from([0xc1]), 1008],
    ['a frame that is cut off', encode([1, ASK, { type: 'cache.health' }]).subarray(0, 9), 1008],
    ['an extension', Buffer.from([0x93, 1, 0, 0xd4, 0x72, 0x40]), 1008],
    ['an array that claims to be endless', Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]), 1008],
    ['bytes in place of a command', encode([1, ASK, Buffer.from('x')]), 1008],
    ['a name that is no text', Buffer.from([0x93, 1, 0, 0x81, 0x01, 0x01]), 1008],
    ['text that is not UTF-8', Buffer.from([0x93, 1, 0, 0x81, 0xa1, 0xff, 0x01]), 1008],
    ['a frame that is no array', encode({ id: 1 }), 1008],
    ['an id that is none', encode([0, ASK, { type: 'cache.health' }]), 1008],
    ['a negative id', encode([-1, ASK, { type: 'cache.health' }]), 1008],
    ['a kind that does not exist', encode([1, 9, { type: 'cache.health' }]), 1008],
    ['a request without a type', encode([1, ASK, { key: 'a' }]), 1008],
    ['a request that is a list', encode([1, ASK, ['cache.health']]), 1008],
    ['nesting without end', Buffer.alloc(90_000, 0x91), 1008],
    ['a message that is too large', Buffer.alloc(100_001, 0xc0), 1009],
  ];
  test.each(BAD)('with %s end the connection, and nothing else', async (_, message, code) => {
    const client = await RawClient.open(server);
    client.socket.send(message);
    await waitFor(() => expect(client.closed).toBe(code));
    await using other = await connect(server.url, { token: server.token });
    expect(await other.get('key')).toBeUndefined();
  });

  test('get an error for each request that cannot be executed', async () => {
    const client = await RawClient.open(server);
    const requests: readonly (readonly [Record<string, unknown>, string])[] = [
      [{ type: 'xstate.stop' }, 'INVALID_COMMAND'],
      [{ type: '__proto__' }, 'INVALID_COMMAND'],
      [{ type: 'context.set', key: 'k' }, 'INVALID_COMMAND'],
      [{ type: 'context.set', key: 'k', value: 1, nmaespace: 'x' }, 'INVALID_COMMAND'],
      [{ type: 'context.set', key: 'k', value: nested(25) }, 'INVALID_VALUE'],
      [{ type: 'context.get', key: 7 }, 'INVALID_NAME'],
      [{ type: 'context.get', key: 'k', namespcae: 'x' }, 'INVALID_COMMAND'],
      [{ type: 'read.entries', namespace: 7 }, 'INVALID_NAME'],
      [{ type: 'read.entries', namespcae: 'x' }, 'INVALID_OPTION'],
      [{ type: 'read.many', keys: 'k', namespace: 'x' }, 'INVALID_COMMAND'],
      [{ type: 'read.entry', key: 'k', namespace: 'x', at: 'now' }, 'INVALID_OPTION'],
      [{ type: 'view.open', at: -1 }, 'INVALID_OPTION'],
      [{ type: 'view.open', at: { time: 'x' } }, 'INVALID_OPTION'],
      [{ type: 'watch', since: 1.5 }, 'INVALID_OPTION'],
      [{ type: 'watch', bufferSize: 1e12, since: -1 }, 'INVALID_OPTION'],
      [{ type: 'cache.synced', timeoutMs: 'never' }, 'INVALID_OPTION'],
    ];
    for (const [index, [request, code]] of requests.entries()) {
      client.send([index + 1, ASK, request]);
      expect([request, await client.answer(index + 1)]).toMatchObject([request, [index + 1, 1, { code }]]);
    }
    expect(client.closed).toBeUndefined();
    client.socket.terminate();
  });

  test('are executed a few at a time, in their order, and answered in spite of a flood', async () => {
    const client = await RawClient.open(server);
    const sets = Array.from({ length: 500 }, (_, index) => [
      index + 1,
      ASK,
      { type: 'context.set', namespace: 'flood', key: 'k', value: index },
    ]);
    client.send(...sets);
    client.socket.send(encode([1_000, ASK, { type: 'context.get', namespace: 'flood', key: 'k' }]));
    await waitFor(() => expect(cache.get('k', 'flood')).toBe(499));
    client.socket.terminate();
  });

  test('of a client beyond the limit are refused before they are read', async () => {
    const clients = [];
    await waitFor(() => expect(server.clients).toBe(0));
    for (let i = 0; i < 5; i += 1) clients.push(await connect(server.url, { token: server.token }));
    await expect(connect(server.url, { token: server.token })).rejects.toMatchObject({ code: 'OVERLOADED' });
    await clients[0]?.shutdown();
    await waitFor(() => expect(server.clients).toBe(4));
    clients.push(await connect(server.url, { token: server.token }));
    for (const client of clients) await client.shutdown();
  });

  test('that are too large are refused by the client, alone', async () => {
    await waitFor(() => expect(server.clients).toBe(0));
    await using remote = await connect(server.url, { token: server.token });
    const small = remote.set('small', 1);
    const large = remote.set('large', 'x'.repeat(100_000));
    const after = remote.set('after', 1);
    await expect(large).rejects.toMatchObject({ code: 'INVALID_COMMAND', message: expect.stringContaining('100000') });
    await Promise.all([small, after]);
  });
});

test('a client that asks without a pause leaves the others their turns', async () => {
  const cache = new AgentContextCache({ natsUrl: null });
  const server = await startServer(cache);
  await using other = await connect(server.url, { token: server.token });
  const client = await RawClient.open(server);
  client.send(...Array.from({ length: 40_000 }, (_, index) => [index + 1, ASK, { type: 'context.get', key: 'k' }]));
  await other.get('k');
  // A frame for each request that was executed before, and the hello.
  expect(client.frames.length).toBeLessThan(20_000);
  await waitFor(() => expect(client.frames).toHaveLength(40_001));
  client.socket.terminate();
  await cache.shutdown();
});

describe('a client that reads slowly', () => {
  test('is bounded and told, and delays nobody', async () => {
    const cache = new AgentContextCache({ natsUrl: null });
    await using server = await startServer(cache);
    await using slow = await connect(server.url, { token: server.token });
    await using quick = await connect(server.url, { token: server.token });
    const watch = slow.watch({ bufferSize: 100 });
    await slow.flush();
    const text = 'x'.repeat(10_000);
    for (let i = 0; i < 5_000; i += 1) void quick.set(`key ${i % 50}`, text, 'space');
    await quick.flush();
    const first = await watch.next();
    expect(first.value).toMatchObject({ position: 1, skipped: 0 });
    let last = first.value as { position: number; skipped: number };
    let skipped = 0;
    let seen = 1;
    while (last.position < 5_000) {
      last = (await watch.next()).value as { position: number; skipped: number };
      skipped += last.skipped;
      seen += 1;
    }
    expect(skipped).toBeGreaterThan(1_000);
    expect(seen + skipped).toBe(5_000);
    const overflowing = slow.watch({ bufferSize: 10 });
    await slow.flush();
    for (let i = 0; i < 5_000; i += 1) void quick.set(`key ${i}`, text, 'many');
    await quick.flush();
    const drain = async () => {
      for await (const _ of overflowing);
    };
    await expect(drain()).rejects.toMatchObject({ code: 'WATCH_OVERFLOW' });
    await cache.shutdown();
  });

  test('does not make the server keep what it has not read', async () => {
    const cache = new AgentContextCache({ natsUrl: null });
    await using server = await startServer(cache);
    await cache.set('large', 'x'.repeat(1_000_000));
    const client = await RawClient.open(server);
    client.socket.pause();
    const asked = Array.from({ length: 1_000 }, (_, index) => [index + 1, ASK, { type: 'context.get', key: 'large' }]);
    client.send(...asked);
    const before = process.memoryUsage().arrayBuffers;
    await new Promise((resolve) => setTimeout(resolve, 300));
    // A thousand answers have 1 GB.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100_000_000);
    await using other = await connect(server.url, { token: server.token });
    expect(await other.has('large')).toBe(true);
    client.socket.terminate();
    await cache.shutdown();
  });
});
