import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isOlder } from '../../src/cli/doctor/finding.ts';
import { checkClock, checkNode } from '../../src/cli/doctor/machine.ts';
import { skewOf } from '../../src/cli/doctor/redis.ts';
import { AgentContextCache } from '../../src/index.ts';
import { run, serve } from '../support/cli.ts';
import { startNats, startRedis } from '../support/servers.ts';
import { flipAt, framesOf, logFiles } from '../support/stored-log.ts';
import { tempDir } from '../support/temp-dir.ts';

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly message: string;
  readonly remedy?: string;
}

/** Hides the servers of this machine. */
const NOBODY = { REDIS_URL: '', NATS_URL: '' };

async function doctor(dataDir: string, args: readonly string[] = [], env: Record<string, string> = NOBODY) {
  const { code, stdout, stderr } = await run(['doctor', '--json', '--data-dir', dataDir, ...args], { env });
  const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: Finding[] };
  return { code, ok, stderr, of: (check: string) => findings.filter((finding) => finding.check === check) };
}

const newDir = async () => join(await tempDir('doctor'), 'data');

describe('doctor', () => {
  test('says that there is no directory yet, and creates none', async () => {
    const dataDir = await newDir();
    const found = await doctor(dataDir);
    expect(found).toMatchObject({ code: 0, ok: true, stderr: '' });
    expect(found.of('node')).toEqual([{ check: 'node', status: 'ok', message: `Node ${process.versions.node}` }]);
    expect(found.of('directory')).toMatchObject([
      { status: 'note', message: expect.stringContaining('does not exist yet') },
      { status: 'ok' },
    ]);
    expect(found.of('clock')).toMatchObject([{ status: 'ok' }]);
    expect(await readdir(dirname(dataDir))).toEqual([]);
  });

  test('reports the server, content and permissions of a directory, and changes nothing', async () => {
    const dataDir = await newDir();
    await run(['set', 'k', '1', '--data-dir', dataDir]);
    const own = await doctor(dataDir);
    expect(own.of('directory')[0]).toMatchObject({
      status: 'ok',
      message: expect.stringMatching(/not served, .*position 1$/),
    });
    await chmod(dataDir, 0o755);
    expect((await doctor(dataDir)).of('directory')[1]).toMatchObject({
      status: 'warning',
      remedy: `chmod 700 ${dataDir}`,
    });
    await chmod(dataDir, 0o700);
    const server = await serve(dataDir);
    const served = await doctor(dataDir);
    expect(served.of('directory')[0]?.message).toContain(`served by process ${server.pid} on 127.0.0.1:${server.port}`);
    expect(served.code).toBe(0);
    await server.end();
    expect((await run(['log', '--json', '--data-dir', dataDir])).stdout.split('\n')).toHaveLength(2);
  });

  test('reports a directory that is locked, damaged, or a file', async () => {
    const dataDir = await newDir();
    await run(['set', 'k', '1', '--data-dir', dataDir]);
    await using held = await AgentContextCache.open({ dataDir, natsUrl: null });
    const locked = await doctor(dataDir);
    expect(locked).toMatchObject({ code: 6, ok: false });
    expect(locked.of('directory')[0]).toMatchObject({
      status: 'locked',
      message: expect.stringMatching(/in use by .*Stop it/),
    });
    await held.shutdown();
    const [segment = ''] = await logFiles(dataDir);
    const file = join(dataDir, 'db', 'log', segment);
    await flipAt(file, (framesOf(file).find(({ count }) => count > 0)?.offset ?? 0) + 30);
    const damaged = await doctor(dataDir);
    expect(damaged.code).toBe(1);
    expect(damaged.of('directory')[0]).toMatchObject({
      status: 'problem',
      remedy: expect.stringContaining('context-cache verify'),
    });
    const plain = await newDir();
    await writeFile(plain, '');
    expect((await doctor(plain)).of('directory')[1]).toMatchObject({
      status: 'problem',
      message: `${plain} is a file`,
    });
  });

  test('reports the versions of servers, JetStream, and a Redis that evicts keys', async () => {
    await using redis = await startRedis({ args: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'] });
    await using nats = await startNats();
    await using plain = await startNats({ jetstream: false });
    const dataDir = await newDir();
    const found = await doctor(dataDir, ['--redis', redis.url], { ...NOBODY, NATS_URL: nats.url });
    expect(found).toMatchObject({ code: 0, ok: true });
    expect(found.of('redis')).toMatchObject([{ status: 'warning', remedy: expect.stringContaining('noeviction') }]);
    expect(found.of('nats')).toMatchObject([
      { status: 'ok', message: expect.stringMatching(/nats-server \d+\.\d+\.\d+, JetStream on, 0 streams$/) },
    ]);
    const without = await doctor(dataDir, ['--nats', plain.url]);
    expect(without.of('nats')).toMatchObject([{ status: 'ok', remedy: expect.stringContaining('nats-server -js') }]);
  });

  test('ends with 5 and a remedy if a required server is missing', async () => {
    const dataDir = await newDir();
    const env = { REDIS_URL: 'redis://u:secret@127.0.0.1:1', NATS_URL: 'nats://u:secret@127.0.0.1:1' };
    const found = await doctor(dataDir, [], env);
    expect(found).toMatchObject({ code: 5, ok: false });
    for (const check of ['redis', 'nats']) {
      expect(found.of(check)).toMatchObject([{ status: 'unreachable', remedy: expect.stringContaining('Start it') }]);
      expect(found.of(check)[0]?.message).not.toContain('secret');
    }
    const text = await run(['doctor', '--data-dir', dataDir], { env });
    expect(text.code).toBe(5);
    expect(text.stdout).toMatch(/^unreachable {2}redis .*\n {24}Start it, /m);
  });

  test('does not wait forever for a paused server', async () => {
    await using redis = await startRedis();
    redis.pause();
    expect((await doctor(await newDir(), ['--redis', redis.url])).of('redis')).toMatchObject([
      { status: 'unreachable' },
    ]);
    redis.resume();
  });
});

test('an old Node and an impossible clock are problems', () => {
  expect(checkNode('20.18.9')).toMatchObject({ status: 'problem', remedy: 'Install Node 20.19 or newer.' });
  expect(checkNode('22.0.0').status).toBe('ok');
  expect(isOlder('2.9.10', [2, 9])).toBe(false);
  expect(isOlder('2.8.99', [2, 9])).toBe(true);
  expect(checkClock(undefined, 0)).toMatchObject({ status: 'problem', remedy: expect.stringContaining('set-ntp') });
  const now = Date.UTC(2026, 5, 1);
  expect(checkClock(now + 60_000, now)).toMatchObject({
    status: 'warning',
    message: expect.stringContaining('last update'),
  });
  expect(checkClock(now, now).status).toBe('ok');
});

test('the difference of clocks excludes the time of a slow answer', () => {
  expect([skewOf(5_000, 1_000, 9_000), skewOf(1_000, 1_000, 9_000), skewOf(9_000, 1_000, 9_000)]).toEqual([0, 0, 0]);
  expect([skewOf(9_500, 1_000, 9_000), skewOf(700, 1_000, 9_000)]).toEqual([500, -300]);
});

test('bench measures each row, with the median between minimum and maximum, and leaves nothing behind', async () => {
  const dataDir = await newDir();
  await mkdir(dirname(dataDir), { recursive: true });
  const { code, stdout, stderr } = await run(['bench', '--round', '2ms', '--json', '--data-dir', dataDir]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { measured, machine } = JSON.parse(stdout) as {
    measured: Record<string, number>[];
    machine: { folder: string };
  };
  expect(measured.map(({ question }) => question)).toEqual([
    'get',
    'set, in memory, awaited',
    'set, on disk, one at a time',
    'set, on disk, 256 at a time',
    'replay, updates of a data directory',
  ]);
  for (const { median = 0, least = 0, most = 0 } of measured) {
    expect(least).toBeGreaterThan(0);
    expect(median).toBeGreaterThanOrEqual(least);
    expect(most).toBeGreaterThanOrEqual(median);
  }
  expect(machine.folder).toBe(dirname(dataDir));
  expect(await readdir(dirname(dataDir))).toEqual([]);
});
