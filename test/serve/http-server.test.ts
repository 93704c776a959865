import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { type CacheServer, startServer } from '../../src/serve/cache-server.ts';
import { jsonLines, line, setLine, waitFor } from '../support/cli.ts';
import { JSON_BODY, send, sendCommand } from '../support/http.ts';

describe('the HTTP server', () => {
  let cache: AgentContextCache;
  let server: CacheServer;
  beforeAll(async () => {
    cache = new AgentContextCache({ natsUrl: null });
    server = await startServer(cache);
    await cache.set('secret-key', 'secret-value');
  });
  afterAll(async () => {
    await server.close();
    await cache.shutdown();
  });

  const STRANGERS: readonly (readonly [string, number, Record<string, string>])[] = [
    ['without a token', 401, { authorization: '' }],
    ['with another token', 401, { authorization: `Bearer ${'A'.repeat(43)}` }],
    ['with a part of the token', 401, { authorization: 'Bearer A' }],
    ['with another scheme', 401, { authorization: 'Basic A' }],
    ['of another host', 403, { host: 'evil.example' }],
    ['of this host without the port', 403, { host: '127.0.0.1' }],
    ['of a web page', 403, { origin: 'https://evil.example' }],
    ['of a page without an origin', 403, { origin: 'null' }],
  ];
  test.each(STRANGERS)('refuses a request %s', async (_, status, headers) => {
    for (const [path, method] of [
      ['/v1/dump', 'GET'],
      ['/v1/command', 'POST'],
      ['/v1/none', 'GET'],
    ] as const) {
      const reply = await send(server, path, { method, headers: { ...JSON_BODY, ...headers }, body: '' });
      expect(reply.status).toBe(status);
      expect(reply.body).not.toContain('secret');
    }
  });

  test('streams a namespace in order, or a part of it, and refuses wrong options', async () => {
    await cache.setMany({ b: 2, a: 1, 'a\n': 3 }, 'ordered');
    const get = (path: string) => send(server, path);
    expect((await get('/v1/keys?namespace=ordered')).body).toBe('"a"\n"a\\n"\n"b"\n');
    expect((await get('/v1/keys?namespace=ordered&reverse&limit=1')).body).toBe('"b"\n');
    expect(jsonLines((await get('/v1/entries?namespace=ordered&prefix=a&after=a')).body)).toEqual([
      { namespace: 'ordered', key: 'a\n', value: 3, version: 3 },
    ]);
    for (const query of ['limit=-1', 'limit=x', 'limit=', 'reverse=1', 'prefixx=a']) {
      const { status, body } = await get(`/v1/entries?namespace=ordered&${query}`);
      expect([status, JSON.parse(body).error.code]).toEqual([400, 'INVALID_OPTION']);
    }
  });

  test('accepts every name of this machine', async () => {
    for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
      const headers = { host: `${host}:${server.port}`, origin: `http://${host}:${server.port}` };
      expect(await send(server, '/v1/health', { headers })).toMatchObject({ status: 200 });
    }
  });

  test('refuses a query parameter that the address does not take, with the nearest name', async () => {
    for (const [path, message] of [
      ['/v1/dump?namesapce=x', '/v1/dump has no parameter "namesapce". Did you mean namespace?'],
      ['/v1/log?form=1', '/v1/log has no parameter "form". Did you mean from?'],
      ['/v1/health?verbose', '/v1/health has no parameter "verbose". It takes none.'],
      [
        '/v1/watch?limit=1',
        '/v1/watch has no parameter "limit". It takes namespace, namespacePrefix, key, keyPrefix, since, snapshot.',
      ],
    ] as const) {
      const { status, body } = await send(server, path);
      expect([status, JSON.parse(body)]).toEqual([400, { error: { code: 'INVALID_OPTION', message } }]);
    }
    const mistyped = await send(server, '/v1/apply?keepGong', {
      method: 'POST',
      headers: JSON_BODY,
      body: setLine('k', 1),
    });
    expect([mistyped.status, mistyped.body]).toEqual([400, expect.stringContaining('Did you mean keepGoing?')]);
  });

  test('answers commands, and errors with a matching status', async () => {
    expect(await sendCommand(server, { type: 'context.set', namespace: 'n', key: 'k', value: null })).toEqual({
      status: 200,
      body: expect.stringMatching(/^{"ok":{"version":1,"position":\d+,"changed":true}}\n$/),
    });
    expect((await sendCommand(server, { type: 'context.get', namespace: 'n', key: 'k' })).body).toBe('{"ok":null}\n');
    const miss = await sendCommand(server, { type: 'context.get', namespace: 'n', key: 'none' });
    expect(miss).toEqual({ status: 200, body: '{"ok":null,"found":false}\n' });
    const conflict = await sendCommand(server, {
      type: 'context.set',
      namespace: 'n',
      key: 'k',
      value: 1,
      ifVersion: 5,
    });
    expect(conflict.status).toBe(409);
    expect(JSON.parse(conflict.body).error).toMatchObject({ code: 'VERSION_CONFLICT', current: { version: 1 } });
    expect(await sendCommand(server, { type: 'xstate.stop' })).toMatchObject({ status: 400 });
    expect(await sendCommand(server, null)).toMatchObject({ status: 400 });
    expect(await sendCommand(server, { type: 'cache.flush' })).toEqual({ status: 200, body: '{"ok":null}\n' });
    const post = (body: string | Buffer, headers = JSON_BODY) =>
      send(server, '/v1/command', { method: 'POST', headers, body });
    expect(await post('{"type":')).toMatchObject({ status: 400 });
    expect(await post(Buffer.from([0x22, 0xff, 0x22]))).toMatchObject({ status: 400 });
    expect(await post('{}', { 'content-type': 'text/plain' })).toMatchObject({ status: 415 });
    expect(await post(Buffer.alloc(65 * 1024 * 1024, ' '))).toMatchObject({ status: 400 });
    expect(await send(server, '/v1/none')).toMatchObject({ status: 404 });
    expect(await send(server, '/v1/command')).toMatchObject({ status: 405 });
    expect(await send(server, '/v1/log?from=x')).toMatchObject({ status: 400 });
    expect(await send(server, '/v1/log?from=0')).toMatchObject({ status: 410 });
    expect(await send(server, '/v1/health')).toMatchObject({ status: 200 });
    const changes = await send(server, '/v1/changes?since=0&prefix=n&limit=1');
    expect(JSON.parse(changes.body)).toMatchObject({
      changes: [{ key: expect.any(String) }],
      next: expect.any(Number),
    });
    expect(await send(server, '/v1/changes?limit=1')).toMatchObject({ status: 400 });
    expect(await send(server, '/v1/changes?since=0&limit=0')).toMatchObject({ status: 400 });
  });

  test('applies a stream of commands, acknowledges each, and stops at the first that fails', async () => {
    const post = (path: string, body: string) =>
      send(server, path, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body });
    const body = `${setLine('a', 1, { namespace: 's' })}nonsense\n${setLine('b', 1, { namespace: 's' })}`;
    const stopped = await post('/v1/apply', body);
    expect(jsonLines(stopped.body)).toEqual([
      { line: 1, position: expect.any(Number) },
      { line: 2, error: { code: 'INVALID_COMMAND', message: expect.any(String) } },
      { summary: { lines: 2, updates: 1, unchanged: 0, failed: 1, position: expect.any(Number) } },
    ]);
    const whole = await post('/v1/apply?keepGoing&acks=false', body);
    expect(jsonLines(whole.body)).toMatchObject([{ line: 2 }, { summary: { lines: 3, updates: 2, failed: 1 } }]);
    expect(await post('/v1/apply?keepGoing=maybe', body)).toMatchObject({ status: 400 });
  });

  test('executes the whole lines of a stream that is cut off, not the broken one', async () => {
    const path = '/v1/apply';
    const headers = { authorization: `Bearer ${server.token}`, 'content-type': 'application/x-ndjson' };
    const sent = request({ host: '127.0.0.1', port: server.port, path, method: 'POST', headers });
    sent.on('error', () => {});
    const first = new Promise((resolve) => sent.on('response', (response) => response.once('data', resolve)));
    sent.write(setLine('whole', 1, { namespace: 'cut' }) + setLine('broken', 1, { namespace: 'cut' }).trimEnd());
    await first;
    sent.destroy();
    await waitFor(async () => {
      const { body } = await sendCommand(server, { type: 'cache.health' });
      expect(JSON.parse(body).ok.status).toBe('ok');
    });
    expect((await send(server, '/v1/dump?namespace=cut')).body).toBe(
      line({ namespace: 'cut', key: 'whole', value: 1, version: 1 }),
    );
  });

  test('is not delayed by a watcher that stops reading', async () => {
    const socket = connect({ host: '127.0.0.1', port: server.port });
    socket.write(
      `GET /v1/watch HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nAuthorization: Bearer ${server.token}\r\n\r\n`,
    );
    await new Promise((resolve) => socket.once('data', resolve));
    socket.pause();
    const input = Array.from({ length: 20_000 }, (_, index) =>
      setLine(`k${index % 10}`, 'x'.repeat(500), { namespace: 'slow' }),
    ).join('');
    const headers = { 'content-type': 'application/x-ndjson' };
    const applied = await send(server, '/v1/apply?acks=false', { method: 'POST', headers, body: input });
    expect(jsonLines(applied.body)).toMatchObject([{ summary: { updates: 20_000, failed: 0 } }]);
    socket.destroy();
  });

  test('answers 400 to a request without its parameters', async () => {
    const ask = (path: string) =>
      fetch(`http://127.0.0.1:${server.port}${path}`, { headers: { authorization: `Bearer ${server.token}` } });
    for (const path of ['/v1/history', '/v1/diff?a=1', '/v1/diff?a=1&b=x', '/v1/dump?at=', '/v1/dump?at=x']) {
      const response = await ask(path);
      expect({ path, status: response.status }).toEqual({ path, status: 400 });
      expect(await response.json()).toMatchObject({ error: { code: 'INVALID_OPTION' } });
    }
    expect((await ask('/v1/dump?at=999')).status).toBe(410);
  });
});
