import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { jsonLines, run as runProcess, serve, setLine, start } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { startRedis, type TestServer } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';

const newDir = async () => join(await tempDir('cli'), 'data');

/** Creates a directory with values, removals, an expiry and topics. */
async function filledDir(): Promise<string> {
  const dataDir = await newDir();
  const input = [
    setLine('plan', { steps: ['search', 'book'] }, { namespace: 'trip', agent: 'planner' }),
    setLine('none', null),
    setLine('a:b', 'text', { namespace: 'a:b' }),
    setLine('line\nbreak', 1, { namespace: 'trip' }),
    setLine('\u{1f600}', 1, { namespace: 'trip' }),
    setLine('\u{ff5e}', 1, { namespace: 'trip' }),
    setLine('soon', 1, { ttl: '1h' }),
    '{"type":"context.delete","key":"soon"}\n{"type":"context.drop","namespace":"a:b"}\n',
    '{"type":"topics.set","topics":["a.b","c"]}\n',
  ].join('');
  expect(await run(['apply', '--data-dir', dataDir], { input })).toMatchObject({ code: 0 });
  return dataDir;
}

describe('values', () => {
  test('set stores JSON, text and standard input, and get prints it', async () => {
    const dataDir = await newDir();
    const on = (...args: string[]) => run([...args, '--data-dir', dataDir]);
    const set = await on('set', 'plan', '{"steps":["search"]}', '--namespace', 'trip', '--agent', 'me', '--json');
    expect(set).toEqual({ code: 0, stdout: '{"version":1,"position":1,"changed":true}\n', stderr: '' });
    expect(await on('get', 'plan', '-n', 'trip')).toEqual({ code: 0, stdout: '{"steps":["search"]}\n', stderr: '' });
    expect(await on('set', 'text', 'as it is', '--string')).toMatchObject({ code: 0, stdout: '' });
    expect(await on('get', 'text')).toMatchObject({ stdout: '"as it is"\n' });
    expect(await on('set', 'number', '-5')).toMatchObject({ code: 0 });
    expect(await on('get', 'number')).toMatchObject({ stdout: '-5\n' });
    expect(await run(['set', 'in', '-', '--data-dir', dataDir], { input: '[1,\n2]' })).toMatchObject({ code: 0 });
    expect(await on('get', 'in')).toMatchObject({ stdout: '[1,2]\n' });
    const entry = JSON.parse((await on('get', 'plan', '-n', 'trip', '--entry', '--json')).stdout);
    const instants = { createdAt: expect.any(Number), updatedAt: expect.any(Number), expiresAt: null };
    expect(entry).toEqual({
      namespace: 'trip',
      key: 'plan',
      value: { steps: ['search'] },
      version: 1,
      ...instants,
      agent: 'me',
    });
    expect(await on('set', '', '"of the empty key"')).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('Done'),
    });
    expect(await on('get', '')).toMatchObject({ code: 0, stdout: '"of the empty key"\n' });
    expect(await on('keys', '--to', '')).toMatchObject({ code: 0, stdout: '""\n' });
    expect(await on('delete', '', '--json')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('"changed":true'),
    });
    expect(await on('get', '')).toMatchObject({ code: 3, stderr: expect.stringContaining('has no key ""') });
    expect(await on('delete', 'plan', '-n', 'trip', '--json')).toMatchObject({ code: 0 });
    expect(await on('get', 'plan', '-n', 'trip')).toMatchObject({ code: 3, stdout: '' });
  });

  test('a stored null is a value', async () => {
    const dataDir = await filledDir();
    expect(await run(['get', 'none', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: 'null\n' });
    await using _server = await serve(dataDir);
    expect(await run(['get', 'none', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: 'null\n' });
    expect(await run(['get', 'more', '--data-dir', dataDir])).toMatchObject({ code: 3, stdout: '' });
  });

  test('--ttl sets the expiry, and an expired key is missing', async () => {
    const dataDir = await newDir();
    await run(['set', 'k', '1', '--ttl', '1ms', '--data-dir', dataDir]);
    expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 3 });
    await run(['set', 'k', '1', '--ttl', '2h', '--data-dir', dataDir]);
    const entry = JSON.parse((await run(['get', 'k', '--entry', '--json', '--data-dir', dataDir])).stdout);
    expect(entry.expiresAt - entry.updatedAt).toBe(2 * 3_600_000);
  });

  test('CONTEXT_CACHE_DIR names the directory unless --data-dir does', async () => {
    const dataDir = await newDir();
    const env = { CONTEXT_CACHE_DIR: dataDir };
    expect(await run(['set', 'k', '1'], { env })).toMatchObject({ code: 0 });
    expect(await run(['--json', 'keys'], { env })).toMatchObject({ stdout: '["k"]\n' });
    expect(await run(['keys', '--data-dir', `${dataDir}2`], { env })).toMatchObject({ code: 3 });
  });
});

describe('exit codes', () => {
  const USAGE: readonly (readonly string[])[] = [
    [],
    ['fly'],
    ['get'],
    ['get', 'k', '--colour', 'red'],
    ['set', 'k', 'not json'],
    ['set', 'k', '1', '-n', ''],
    ['set', 'k', '1', '--if-version', 'x'],
    ['set', 'k', '1', '--ttl', 'soon'],
    ['log', '--from', '-1'],
    ['log', '--from', '5', '--to', '4'],
    ['apply', '.'],
    ['apply', '--topic', 'a'],
    ['apply', '--nats', 'file.ndjson'],
    ['apply', '--durability', 'maybe'],
    ['apply', '--redis', 'http://x'],
    ['restore'],
    ['topics', 'add', 'a.*'],
    ['serve', '--port', '99999'],
    ['serve', '--nats', '--commands-subject', 'a.>'],
    ['backup', 'list', '--redis', '--backup-dir', 'x'],
  ];
  let filled: string;
  beforeAll(async () => {
    filled = await filledDir();
  });

  test.each(USAGE.map((args) => [args]))('2 for %j', async (args) => {
    const { code, stdout, stderr } = await run([...args], { env: { CONTEXT_CACHE_DIR: filled } });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  const READING = [
    'get k',
    'delete k',
    'keys',
    'namespaces',
    'dump',
    'log',
    'health',
    'topics',
    'topics add a',
    'watch',
    'backup',
    'backup list',
    'backup status',
  ];
  test.each(READING)('3 for %s without a directory, and none is created', async (command) => {
    const dataDir = await newDir();
    const { code, stdout, stderr } = await run([...command.split(' '), '--json', '--data-dir', dataDir]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(JSON.parse(stderr)).toEqual({
      error: { code: 'NOT_FOUND', message: expect.stringContaining('--data-dir') },
    });
    expect(existsSync(dataDir)).toBe(false);
  });

  test('3 for a directory with other files, and nothing is added to it', async () => {
    const dataDir = await newDir();
    await mkdir(dataDir);
    await writeFile(join(dataDir, 'mine'), '');
    expect(await run(['dump', '--data-dir', dataDir])).toMatchObject({ code: 3 });
    expect(existsSync(join(dataDir, 'db'))).toBe(false);
  });

  test('4 for a conflict, and nothing has changed', async () => {
    const dataDir = await filledDir();
    const args = ['set', 'none', '1', '--if-version', '9', '--data-dir', dataDir];
    const { code, stderr } = await run([...args, '--json']);
    expect(code).toBe(4);
    expect(JSON.parse(stderr).error.code).toBe('VERSION_CONFLICT');
    await using _server = await serve(dataDir);
    expect(await run([...args, '--json'])).toEqual({ code, stderr, stdout: '' });
    expect(await run(['get', 'none', '--data-dir', dataDir])).toMatchObject({ stdout: 'null\n' });
  });

  test('5 for watch of a directory that is not served, and for a missing Redis', async () => {
    const dataDir = await filledDir();
    expect(await run(['watch', '--data-dir', dataDir])).toMatchObject({ code: 5, stdout: '' });
    const redis = ['--redis', 'redis://127.0.0.1:1'];
    expect(await run(['backup', 'list', ...redis, '--data-dir', dataDir])).toMatchObject({ code: 5 });
    const restored = `${dataDir}2`;
    expect(await run(['restore', ...redis, '--data-dir', restored])).toMatchObject({ code: 5 });
    expect(existsSync(restored)).toBe(false);
  });

  test('6 for a directory that another process has open without serving it, with a remedy', async () => {
    const dataDir = await newDir();
    await using _cache = await AgentContextCache.open({ dataDir });
    const { code, stderr } = await runProcess(['get', 'k', '--json', '--data-dir', dataDir]);
    expect(code).toBe(6);
    expect(JSON.parse(stderr).error).toEqual({
      code: 'DIRECTORY_LOCKED',
      message: expect.stringMatching(/serve|stop/),
    });
  });

  test('0 for help and version; every command has an example', async () => {
    const { code, stdout } = await run(['--help']);
    expect(code).toBe(0);
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)]
      .map(([, name]) => name ?? '')
      .filter((name) => name !== 'help');
    expect(commands).toEqual(
      expect.arrayContaining(['apply', 'backup', 'demo', 'dump', 'health', 'restore', 'serve', 'topics', 'watch']),
    );
    for (const command of commands) {
      const help = await run(['help', command]);
      expect(help.code).toBe(0);
      expect(help.stdout).toMatch(/Examples:\n {2}\$ context-cache /);
    }
    const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'));
    expect(await run(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });
});

test('every command prints the same for a served directory and for one that is not served', async () => {
  const dataDir = await filledDir();
  const commands = [
    'get plan -n trip',
    'get none',
    'get missing',
    'keys',
    'keys -n trip',
    'keys -n trip --json',
    'keys -n none',
    'keys -n trip --from plan --reverse --limit 2',
    'entries -n trip --prefix pl',
    'entries -n none',
    'namespaces --prefix t --limit 1',
    'namespaces',
    'namespaces --json',
    'dump',
    'dump -n trip',
    'dump -n none',
    'log',
    'log --from 3 --to 5',
    'log -n trip',
    'log --from 999',
    'log --from 0',
    'topics',
    'topics list --json',
    'backup settings',
    'backup list',
    'backup list --json',
    'get plan -n trip --entry',
  ];
  const all = async () => {
    const ran: Record<string, unknown> = {};
    for (const command of commands) ran[command] = await run([...command.split(' '), '--data-dir', dataDir]);
    return ran;
  };
  const own = await all();
  expect(own['keys -n trip']).toEqual({ code: 0, stdout: '"line\\nbreak"\nplan\n\u{ff5e}\n\u{1f600}\n', stderr: '' });
  expect(own['keys -n trip --from plan --reverse --limit 2']).toMatchObject({ stdout: '\u{1f600}\n\u{ff5e}\n' });
  const entries = jsonLines((own['entries -n trip --prefix pl'] as { stdout: string }).stdout);
  expect(entries).toMatchObject([{ namespace: 'trip', key: 'plan' }]);
  expect(own['namespaces --prefix t --limit 1']).toMatchObject({ stdout: 'trip\n' });
  expect(own.namespaces).toEqual({ code: 0, stdout: 'default\ntrip\n', stderr: '' });
  const dumped = jsonLines((own['dump -n trip'] as { stdout: string }).stdout);
  expect(dumped.map(({ key }) => key)).toEqual(['line\nbreak', 'plan', '\u{ff5e}', '\u{1f600}']);
  expect(own['log --from 0']).toEqual(own.log);
  expect(JSON.stringify(own.log)).toContain('\\"expiresAt\\":');
  expect(JSON.stringify(own.log)).toContain('\\"drop\\":true');
  const server = await serve(dataDir);
  try {
    expect(await all()).toEqual(own);
    const changes = [
      'set k 1',
      'set k 2 --if-version 1 --json',
      'delete k --json',
      'topics add d.e',
      'topics remove c --json',
    ];
    const live: unknown[] = [];
    for (const command of changes) live.push(await run([...command.split(' '), '--data-dir', dataDir]));
    expect(live).toEqual([
      { code: 0, stdout: '', stderr: 'Done: version 4, position 10.\n' },
      { code: 4, stdout: '', stderr: expect.any(String) },
      { code: 0, stdout: '{"version":5,"position":11,"changed":true}\n', stderr: '' },
      { code: 0, stdout: 'a.b\nc\nd.e\n', stderr: '' },
      { code: 0, stdout: '["a.b","d.e"]\n', stderr: '' },
    ]);
  } finally {
    await server.end();
  }
  expect((await run(['topics', '--json', '--data-dir', dataDir])).stdout).toBe('["a.b","d.e"]\n');
});

test('a reader that closes the pipe ends dump and log quietly', async () => {
  const dataDir = await newDir();
  const input = Array.from({ length: 20_000 }, (_, index) => setLine(`k${index}`, 'x'.repeat(50))).join('');
  await run(['apply', '--data-dir', dataDir], { input });
  for (const command of ['dump', 'log']) {
    const child = start([command, '--data-dir', dataDir]);
    const errors: string[] = [];
    child.stderr.setEncoding('utf8').on('data', (chunk) => errors.push(chunk));
    child.stdout.once('data', () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
  }
});

test('concurrent commands wait for each other', async () => {
  const dataDir = await newDir();
  const ran = await Promise.all([1, 2, 3].map((n) => runProcess(['set', `k${n}`, String(n), '--data-dir', dataDir])));
  expect(ran.map(({ code }) => code)).toEqual([0, 0, 0]);
  expect((await run(['keys', '--json', '--data-dir', dataDir])).stdout).toBe('["k1","k2","k3"]\n');
});

describe('backup and restore', () => {
  let redis: TestServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  test.each(['beside the data', 'in a directory', 'in Redis', 'in Redis, by the environment'])('%s', async (where) => {
    const dataDir = await filledDir();
    const directory = `${dataDir}-backups`;
    const env: Record<string, string> = where.endsWith('environment')
      ? { REDIS_URL: `${redis.url}?prefix=team-b:` }
      : {};
    const place = {
      'beside the data': [],
      'in a directory': ['--backup-dir', directory],
      'in Redis': ['--redis', redis.url, '--redis-prefix', 'team-a:'],
    }[where] ?? ['--redis'];
    const from = where === 'beside the data' ? ['--backup-dir', join(dataDir, 'backups')] : place;
    const taken = await run(['backup', ...place, '--json', '--data-dir', dataDir], { env });
    expect(taken).toMatchObject({ code: 0, stderr: '' });
    const { id, position } = JSON.parse(taken.stdout);
    const listed = await run(['backup', 'list', ...place, '--json', '--data-dir', dataDir], { env });
    expect(JSON.parse(listed.stdout)[0]).toMatchObject({ id, position, whole: true });
    const restored = `${dataDir}-restored`;
    expect(await run(['restore', ...from, '--data-dir', restored], { env })).toMatchObject({ code: 0, stdout: '' });
    expect((await run(['dump', '--data-dir', restored])).stdout).toBe(
      (await run(['dump', '--data-dir', dataDir])).stdout,
    );
    expect(await run(['restore', ...from, '--data-dir', restored], { env })).toMatchObject({ code: 1 });
    expect(await run(['set', 'k', '1', '--json', '--data-dir', restored])).toMatchObject({
      stdout: expect.stringContaining(`"position":${position + 1},`),
    });
  });

  test('settings are stored, and used by the serving process', async () => {
    const dataDir = await filledDir();
    const on = (...args: string[]) => run(['backup', ...args, '--json', '--data-dir', dataDir]);
    expect(await on('enable', '--mode', 'on_change', '--interval', '60')).toMatchObject({ code: 0 });
    expect((await on('settings', '--keep', '3')).stdout).toBe(
      '{"enabled":true,"interval":60,"mode":"on_change","keep":3}\n',
    );
    await run(['set', 'k', '1', '--data-dir', dataDir]);
    await using server = await serve(dataDir);
    expect(JSON.parse((await on('status')).stdout)).toMatchObject({
      enabled: true,
      settings: { interval: 60, keep: 3 },
    });
    expect(await on('now', '--redis', redis.url)).toMatchObject({ code: 2 });
    expect(await on('disable')).toMatchObject({ code: 0 });
    await server.end();
    expect(JSON.parse((await on('status')).stdout)).toMatchObject({ enabled: false });
    expect(await on('settings', '--mode', 'sometimes')).toMatchObject({ code: 2 });
  });

  test('apply --redis mirrors, and ends when Redis has everything', async () => {
    const dataDir = await newDir();
    const input = Array.from({ length: 500 }, (_, index) => setLine(`k${index}`, index, { namespace: 'm' })).join('');
    expect(await run(['apply', '--redis', redis.url, '--data-dir', dataDir], { input })).toMatchObject({ code: 0 });
    const { Redis } = await import('ioredis');
    const client = new Redis(redis.url);
    try {
      expect(await client.exists(...Array.from({ length: 500 }, (_, index) => `m:k${index}`))).toBe(500);
    } finally {
      client.disconnect();
    }
  });

  test('restore from an empty store fails and creates no directory', async () => {
    const dataDir = await newDir();
    expect(await run(['restore', '--backup-dir', `${dataDir}-none`, '--data-dir', dataDir])).toMatchObject({ code: 3 });
    expect(existsSync(dataDir)).toBe(false);
  });
});

test('health --json prints one value', async () => {
  const dataDir = await filledDir();
  const { code, stdout } = await run(['health', '--json', '--data-dir', dataDir]);
  expect(code).toBe(0);
  expect(jsonLines(stdout)).toMatchObject([{ status: 'ok', log: { head: 9, durable: true }, topics: ['a.b', 'c'] }]);
});
