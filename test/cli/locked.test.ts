import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { ended, line, run, start, waitFor } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

const LOCKED = 6;

describe('a directory that another process has open without serving it', () => {
  let cwd: string;
  let dataDir: string;
  beforeAll(async () => {
    cwd = await tempDir('locked');
    dataDir = join(cwd, 'data');
    await writeFile(join(cwd, 'true.mjs'), 'export default () => true;');
    expect(await run(['set', 'k', '1', '--data-dir', dataDir])).toMatchObject({ code: 0 });
  });

  test.each([
    'get k',
    'set k 2',
    'log',
    'verify',
    'verify --against snapshots',
    'serve',
    'inspect',
    'backup now',
    'compact --keep 1d --yes',
    'bisect --module true.mjs',
    'doctor',
  ])('%s ends with the exit code 6 and names the holder', async (line) => {
    await using _cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    const { code, stdout, stderr } = await run([...line.split(' '), '--data-dir', dataDir], { cwd });
    expect(code).toBe(LOCKED);
    expect(stdout + stderr).toContain(process.platform === 'linux' ? `process ${process.pid}` : 'another process');
  });

  test('replay from it ends with the same exit code, without waiting', async () => {
    await using _cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    const ran = await run(['replay', dataDir, '--data-dir', join(cwd, 'new'), '--json']);
    expect(ran).toMatchObject({ code: LOCKED, stdout: '' });
    expect(JSON.parse(ran.stderr).error.code).toBe('DIRECTORY_LOCKED');
  });

  test('a command says at once how long it waits, and continues when the directory is free', async () => {
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    const child = start(['get', 'k', '--data-dir', dataDir]);
    const all = ended(child);
    await once(child.stderr, 'data');
    await cache.shutdown();
    const { code, stdout, stderr } = await all;
    expect({ code, stdout }).toEqual({ code: 0, stdout: '1\n' });
    expect(stderr).toMatch(/^\S+ is in use by (process \d+|another process)\. Waiting up to 5 s for it …\n$/);
  });

  test('with --json it waits silently, so that standard error is one value', async () => {
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    const waiting = run(['get', 'k', '--json', '--data-dir', dataDir]);
    await sleep(2_000);
    await cache.shutdown();
    expect(await waiting).toEqual({ code: 0, stdout: '1\n', stderr: '' });
  });
});

test('replay into a directory that another process is filling ends with 6, and Ctrl-C ends the other one', async () => {
  const dataDir = join(await tempDir('locked'), 'data');
  const filling = start(['replay', '-', '--data-dir', dataDir]);
  const all = ended(filling);
  const update = { position: 1, namespace: 'default', version: 1, operation: 'set', key: 'k', value: 1, at: 1 };
  filling.stdin.write(line(update));
  await waitFor(() => expect(existsSync(join(dataDir, 'replaying', 'db', 'lock', 'CURRENT'))).toBe(true));
  const second = await run(['replay', '-', '--data-dir', dataDir], { input: '' });
  filling.kill('SIGINT');
  expect(await all).toMatchObject({ code: 130 });
  expect(second).toMatchObject({ code: LOCKED, stdout: '' });
});
