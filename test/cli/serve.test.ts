import { existsSync, statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ended, jsonLines, run, type Served, serve, setLine, start, waitFor } from '../support/cli.ts';
import { send, sendCommand } from '../support/http.ts';
import { tempDir } from '../support/temp-dir.ts';

const newDir = async () => join(await tempDir('cli'), 'data');

describe('a served directory', () => {
  let dataDir: string;
  let server: Served;
  beforeAll(async () => {
    dataDir = await newDir();
    server = await serve(dataDir);
    await sendCommand(server, { type: 'context.set', key: 'secret-key', value: 'secret-value' });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test('listens on 127.0.0.1 only, and hides the token from other users', async () => {
    expect(statSync(join(dataDir, 'serve.json')).mode & 0o777).toBe(0o600);
    const file = JSON.parse(await readFile(join(dataDir, 'serve.json'), 'utf8'));
    expect(file).toEqual({ port: server.port, token: server.token, pid: server.pid, version: 1 });
    expect(Buffer.from(server.token, 'base64url')).toHaveLength(32);
    const socket = connect({ host: '::1', port: server.port });
    await expect(new Promise((resolve, reject) => socket.on('connect', resolve).on('error', reject))).rejects.toThrow();
  });

  test('watch prints updates of its namespaces and keys as they happen', async () => {
    const args = ['watch', '--data-dir', dataDir, '-n', 'w', '-n', 'v', '--key', 'k', '--snapshot'];
    await sendCommand(server, { type: 'context.set', namespace: 'w', key: 'k', value: 0 });
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
      await sendCommand(server, { type: 'context.set', namespace, key, value: 1, agent: 'me' });
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
    expect(Object.keys(updates[1] ?? {}).join()).toBe('position,time,namespace,version,operation,key,value,at,agent');
    await waitFor(async () => expect(await watchers()).toBe(0));
    const since = start(['watch', '--since', '0', '--data-dir', dataDir]);
    const first = String(await new Promise((resolve) => since.stdout.once('data', resolve)));
    since.kill('SIGTERM');
    expect(JSON.parse(first.split('\n')[0] ?? '')).toMatchObject({ position: 1, key: 'secret-key' });
  });

  test('cannot be served twice', async () => {
    const { code, stderr } = await run(['serve', '--json', '--data-dir', dataDir]);
    expect(code).toBe(6);
    expect(JSON.parse(stderr).error).toMatchObject({
      code: 'DIRECTORY_LOCKED',
      message: expect.stringContaining(String(server.pid)),
    });
    expect(await run(['demo', '--data-dir', dataDir])).toMatchObject({ code: 6 });
    expect(await run(['restore', '--backup-dir', join(dataDir, 'backups'), '--data-dir', dataDir])).not.toMatchObject({
      code: 0,
    });
    expect(await send(server, '/v1/health')).toMatchObject({ status: 200 });
  });

  test('apply refuses options that belong to the serving process', async () => {
    const { code, stderr } = await run(['apply', '--redis', '--data-dir', dataDir], { input: setLine('k', 1) });
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('serve') });
  });
});

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  test('ends serve with 0 and leaves nothing but the data', async () => {
    const dataDir = await newDir();
    const server = await serve(dataDir);
    const watching = run(['watch', '--data-dir', dataDir]);
    await waitFor(async () => expect(JSON.parse((await send(server, '/v1/health')).body).watchers).toBe(1));
    await sendCommand(server, { type: 'context.set', key: 'k', value: 1 });
    const { code, stderr } = await server.end(signal);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(existsSync(join(dataDir, 'serve.json'))).toBe(false);
    expect(await watching).toMatchObject({ code: 0, stdout: expect.stringContaining('"key":"k"') });
    expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
  });
});

test('a killed server is detected, and the directory is opened without it', async () => {
  const dataDir = await newDir();
  const server = await serve(dataDir);
  await sendCommand(server, { type: 'context.set', key: 'k', value: 1 });
  await server.end('SIGKILL');
  expect(existsSync(join(dataDir, 'serve.json'))).toBe(true);
  expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
  // The pid may belong to another process by now.
  const stale = { port: server.port, token: server.token, pid: process.pid, version: 1 };
  await writeFile(join(dataDir, 'serve.json'), JSON.stringify(stale));
  expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
  await writeFile(join(dataDir, 'serve.json'), 'not JSON');
  expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
  await using again = await serve(dataDir);
  expect(again.token).not.toBe(server.token);
});

test('a stream of commands that is interrupted by a shutdown keeps every acknowledged command', async () => {
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

test('a paused server does not hang other commands forever', async () => {
  const dataDir = await newDir();
  await using server = await serve(dataDir);
  process.kill(server.pid, 'SIGSTOP');
  const { code, stderr } = await run(['get', 'k', '--data-dir', dataDir]);
  process.kill(server.pid, 'SIGCONT');
  expect({ code, stderr }).toMatchObject({ code: 5, stderr: expect.stringContaining(`Process ${server.pid}`) });
});

describe('the demo', () => {
  test('plays trips with a resolved conflict, continues after a restart, and ends with 0 at Ctrl-C', async () => {
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

test('serve writes log lines as JSON if it is told their level', async () => {
  const child = start(['serve', '--data-dir', await newDir(), '--log-level', 'info', '--json']);
  const all = ended(child);
  await Promise.race([new Promise((resolve) => child.stdout.once('data', resolve)), all]);
  child.kill('SIGINT');
  const { code, stderr } = await all;
  expect(code).toBe(0);
  const lines = jsonLines(stderr).filter((each) => each.source === 'cache');
  expect(lines).toMatchObject([
    { level: 'info', source: 'cache', message: 'Opened with a data directory at position 0.' },
    { level: 'info', source: 'cache', message: 'Shut down at position 0.' },
  ]);
  expect(Object.keys(lines[0] ?? {})).toEqual(['time', 'level', 'source', 'message']);
  expect(jsonLines(stderr).every(({ level }) => level !== 'debug')).toBe(true);
});

test('serve refuses a level of log lines that there is none of', async () => {
  const { code, stderr } = await run(['serve', '--data-dir', await newDir(), '--log-level', 'loud']);
  expect(code).toBe(2);
  expect(stderr).toContain('debug, info, warn, error');
});
