import { existsSync, statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ended, jsonLines, line, run, type Served, serve, setLine, start, waitFor } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

const newDir = async () => join(await tempDir('cli'), 'data');

interface Reply {
  readonly status: number;
  readonly body: string;
}

/** `fetch` would not let the test choose Host. */
function send(
  server: Served,
  path: string,
  { method = 'GET', headers = {}, body = '' as string | Buffer } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const all = { authorization: `Bearer ${server.token}`, ...headers };
    const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
    const sent = request({ host: '127.0.0.1', port: server.port, path, method, headers: given }, async (response) => {
      let text = '';
      for await (const piece of response.setEncoding('utf8')) text += piece;
      resolve({ status: response.statusCode ?? 0, body: text });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const JSON_BODY = { 'content-type': 'application/json' };
const command = (server: Served, asked: unknown) =>
  send(server, '/v1/command', { method: 'POST', headers: JSON_BODY, body: JSON.stringify(asked) });

describe('a served directory', () => {
  let dataDir: string;
  let server: Served;
  beforeAll(async () => {
    dataDir = await newDir();
    server = await serve(dataDir);
    await command(server, { type: 'context.set', key: 'secret-key', value: 'secret-value' });
  });
  afterAll(() => server[Symbol.asyncDispose]());

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

  test('takes the names that mean this machine', async () => {
    for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
      const headers = { host: `${host}:${server.port}`, origin: `http://${host}:${server.port}` };
      expect(await send(server, '/v1/health', { headers })).toMatchObject({ status: 200 });
    }
  });

  test('listens on 127.0.0.1 only, and keeps the token from others', async () => {
    expect(statSync(join(dataDir, 'serve.json')).mode & 0o777).toBe(0o600);
    const file = JSON.parse(await readFile(join(dataDir, 'serve.json'), 'utf8'));
    expect(file).toEqual({ port: server.port, token: server.token, pid: server.pid, version: 1 });
    expect(Buffer.from(server.token, 'base64url')).toHaveLength(32);
    const socket = connect({ host: '::1', port: server.port });
    await expect(new Promise((resolve, reject) => socket.on('connect', resolve).on('error', reject))).rejects.toThrow();
  });

  test('answers commands, and says with the status what was wrong', async () => {
    expect(await command(server, { type: 'context.set', namespace: 'n', key: 'k', value: null })).toEqual({
      status: 200,
      body: expect.stringMatching(/^{"ok":{"version":1,"position":\d+,"changed":true}}\n$/),
    });
    expect((await command(server, { type: 'context.get', namespace: 'n', key: 'k' })).body).toBe('{"ok":null}\n');
    const miss = await command(server, { type: 'context.get', namespace: 'n', key: 'none' });
    expect(miss).toEqual({ status: 200, body: '{"ok":null,"found":false}\n' });
    const conflict = await command(server, { type: 'context.set', namespace: 'n', key: 'k', value: 1, ifVersion: 5 });
    expect(conflict.status).toBe(409);
    expect(JSON.parse(conflict.body).error).toMatchObject({ code: 'VERSION_CONFLICT', current: { version: 1 } });
    expect(await command(server, { type: 'xstate.stop' })).toMatchObject({ status: 400 });
    expect(await command(server, null)).toMatchObject({ status: 400 });
    expect(await command(server, { type: 'cache.flush' })).toEqual({ status: 200, body: '{"ok":null}\n' });
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

  test('a stream of commands that is cut off leaves its whole lines, and not the broken one', async () => {
    const path = '/v1/apply';
    const headers = { authorization: `Bearer ${server.token}`, 'content-type': 'application/x-ndjson' };
    const sent = request({ host: '127.0.0.1', port: server.port, path, method: 'POST', headers });
    sent.on('error', () => {});
    const first = new Promise((resolve) => sent.on('response', (response) => response.once('data', resolve)));
    sent.write(setLine('whole', 1, { namespace: 'cut' }) + setLine('broken', 1, { namespace: 'cut' }).trimEnd());
    await first;
    sent.destroy();
    await waitFor(async () => {
      const { body } = await command(server, { type: 'cache.health' });
      expect(JSON.parse(body).ok.status).toBe('ok');
    });
    expect((await send(server, '/v1/dump?namespace=cut')).body).toBe(
      line({ namespace: 'cut', key: 'whole', value: 1, version: 1 }),
    );
  });

  test('a watcher sees updates as they come, those of its namespaces and keys', async () => {
    const args = ['watch', '--data-dir', dataDir, '-n', 'w', '-n', 'v', '--key', 'k', '--snapshot'];
    await command(server, { type: 'context.set', namespace: 'w', key: 'k', value: 0 });
    const child = start(args);
    const all = ended(child);
    const seen: string[] = [];
    child.stdout.on('data', (chunk) => seen.push(String(chunk)));
    await waitFor(() => expect(seen).toHaveLength(1));
    for (const [namespace, key] of [
      ['w', 'other'],
      ['u', 'k'],
      ['w', 'k'],
      ['v', 'k'],
    ]) {
      await command(server, { type: 'context.set', namespace, key, value: 1, agent: 'me' });
    }
    const watchers = async () => JSON.parse((await send(server, '/v1/health')).body).watchers;
    expect(await watchers()).toBe(1);
    await waitFor(() => expect(seen.join('').match(/\n/g)).toHaveLength(3));
    child.kill('SIGINT');
    const { code, stdout } = await all;
    expect(code).toBe(0);
    const updates = jsonLines(stdout);
    expect(updates).toMatchObject([
      { namespace: 'w', key: 'k', value: 0, snapshot: true },
      { namespace: 'w', key: 'k', value: 1, agent: 'me' },
      { namespace: 'v', key: 'k', value: 1, agent: 'me' },
    ]);
    expect(Object.keys(updates[1] ?? {}).join()).toBe('position,namespace,version,operation,key,value,at,agent');
    await waitFor(async () => expect(await watchers()).toBe(0));
    const since = start(['watch', '--since', '0', '--data-dir', dataDir]);
    const first = String(await new Promise((resolve) => since.stdout.once('data', resolve)));
    since.kill('SIGTERM');
    expect(JSON.parse(first.split('\n')[0] ?? '')).toMatchObject({ position: 1, key: 'secret-key' });
  });

  test('cannot be served twice', async () => {
    const { code, stderr } = await run(['serve', '--json', '--data-dir', dataDir]);
    expect(code).toBe(1);
    expect(JSON.parse(stderr).error).toMatchObject({
      code: 'DIRECTORY_LOCKED',
      message: expect.stringContaining(String(server.pid)),
    });
    expect(await run(['demo', '--data-dir', dataDir])).toMatchObject({ code: 1 });
    expect(await run(['restore', '--backup-dir', join(dataDir, 'backups'), '--data-dir', dataDir])).not.toMatchObject({
      code: 0,
    });
    expect(await send(server, '/v1/health')).toMatchObject({ status: 200 });
  });

  test('what belongs to the serving process cannot be asked of apply', async () => {
    const { code, stderr } = await run(['apply', '--redis', '--data-dir', dataDir], { input: setLine('k', 1) });
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('serve') });
  });

  test('a watcher that stops reading holds up nobody', async () => {
    const socket = connect({ host: '127.0.0.1', port: server.port });
    socket.write(
      `GET /v1/watch HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nAuthorization: Bearer ${server.token}\r\n\r\n`,
    );
    await new Promise((resolve) => socket.once('data', resolve));
    socket.pause();
    const input = Array.from({ length: 20_000 }, (_, index) =>
      setLine(`k${index % 10}`, 'x'.repeat(500), { namespace: 'slow' }),
    ).join('');
    expect(await run(['apply', '--data-dir', dataDir], { input })).toMatchObject({ code: 0 });
    socket.destroy();
  });
});

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  test('ends it with 0 and leaves nothing but the data', async () => {
    const dataDir = await newDir();
    const server = await serve(dataDir);
    const watching = run(['watch', '--data-dir', dataDir]);
    await waitFor(async () => expect(JSON.parse((await send(server, '/v1/health')).body).watchers).toBe(1));
    await command(server, { type: 'context.set', key: 'k', value: 1 });
    const { code, stderr } = await server.end(signal);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(existsSync(join(dataDir, 'serve.json'))).toBe(false);
    expect(await watching).toMatchObject({ code: 0, stdout: expect.stringContaining('"key":"k"') });
    expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
  });
});

test('a process that was killed is noticed, and the directory opened without it', async () => {
  const dataDir = await newDir();
  const server = await serve(dataDir);
  await command(server, { type: 'context.set', key: 'k', value: 1 });
  await server.end('SIGKILL');
  expect(existsSync(join(dataDir, 'serve.json'))).toBe(true);
  expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
  // Its number may be another process's by now.
  const stale = { port: server.port, token: server.token, pid: process.pid, version: 1 };
  await writeFile(join(dataDir, 'serve.json'), JSON.stringify(stale));
  expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
  await writeFile(join(dataDir, 'serve.json'), 'not JSON');
  expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
  await using again = await serve(dataDir);
  expect(again.token).not.toBe(server.token);
});

test('a stream of commands that is under way when serve is stopped keeps what was acknowledged', async () => {
  const dataDir = await newDir();
  const server = await serve(dataDir);
  const child = start(['apply', '--ack', '--data-dir', dataDir]);
  const all = ended(child);
  child.stdin.write(setLine('k', 1));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  expect(await server.end()).toMatchObject({ code: 0 });
  const { code, stdout, stderr } = await all;
  expect({ code, stdout }).toEqual({ code: 1, stdout: '{"line":1,"position":1}\n' });
  expect(stderr).toMatch(/^error: .*closed/);
  expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
});

test('a process that is stopped by a signal does not hang the others for ever', async () => {
  const dataDir = await newDir();
  await using server = await serve(dataDir);
  process.kill(server.pid, 'SIGSTOP');
  const { code, stderr } = await run(['get', 'k', '--data-dir', dataDir]);
  process.kill(server.pid, 'SIGCONT');
  expect({ code, stderr }).toMatchObject({ code: 5, stderr: expect.stringContaining(`Process ${server.pid}`) });
});

describe('the demonstration', () => {
  test('plays trips with a conflict that is resolved, goes on where it was, and ends with 0 at Ctrl-C', async () => {
    const dataDir = await newDir();
    const first = await run(['demo', '--trips', '1', '--every', '1', '--data-dir', dataDir]);
    expect(first.code).toBe(0);
    expect(first.stderr).toContain('context-cache watch');
    expect(first.stdout).toMatch(/planner: {2}trip-1: .*conflict.*booker: {3}booked/s);
    const plan = JSON.parse((await run(['get', 'plan', '-n', 'trip-1', '--data-dir', dataDir])).stdout);
    expect(plan).toMatchObject({ budget: 700, done: ['search'] });

    const child = start(['demo', '--every', '1', '--json', '--data-dir', dataDir]);
    const all = ended(child);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    expect(await run(['get', 'trips', '-n', 'demo', '--data-dir', dataDir])).toMatchObject({ code: 0 });
    child.kill('SIGINT');
    const { code, stdout } = await all;
    expect(code).toBe(0);
    expect(jsonLines(stdout)[0]).toMatchObject({ agent: 'planner', text: expect.stringContaining('trip-2') });
    expect(existsSync(join(dataDir, 'serve.json'))).toBe(false);
  });
});
