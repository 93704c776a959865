import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { jsonLines, run, serve, setLine } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

const newDir = async () => join(await tempDir('told'), 'data');

/** An ISO time. */
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

describe.each(['a directory', 'a served directory'])('a missing key of %s', (where) => {
  let dataDir: string;
  const on = async (...args: string[]) => {
    await using _server = where === 'a directory' ? undefined : await serve(dataDir);
    return run([...args, '--data-dir', dataDir]);
  };
  beforeAll(async () => {
    dataDir = await newDir();
    const names = ['trip', 'hotel', ...Array.from({ length: 30 }, (_, index) => `run/${index}`)];
    const input = names.map((namespace) => setLine('plan', 1, { namespace })).join('') + setLine('note', 1);
    expect(await run(['apply', '--data-dir', dataDir], { input })).toMatchObject({ code: 0 });
  });

  test('is reported with its namespace and some namespaces that have the key', async () => {
    const { code, stdout, stderr } = await on('get', 'plan');
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(
      /^error: The namespace default has no key plan\. It exists in hotel, run\/0, run\/1, run\/10, run\/11 and 27 more: add --namespace\.\n$/,
    );
  });

  test('is reported alone if no namespace has it; a mistyped one gets a suggestion', async () => {
    expect((await on('get', 'nothing')).stderr).toMatch(
      /^error: The namespace default has no key nothing, nor has any other\. See "context-cache keys" for the keys there are\.\n$/,
    );
    expect((await on('get', 'noet')).stderr).toContain('has no key noet, nor has any other. Did you mean note?');
    expect((await on('get', 'note', '-n', 'tirp')).stderr).toContain(
      'There is no namespace tirp. Did you mean trip? The key note exists in default',
    );
  });

  test('is no failure for delete, which says that it deleted nothing', async () => {
    const { code, stderr } = await on('delete', 'plan');
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: 'Nothing was deleted: the namespace default has no key plan.\n',
    });
    expect(await on('delete', 'plan', '--json')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^{"version":\d+,"position":33,"changed":false}\n$/),
    });
    expect((await on('delete', 'plan', '--if-version', '1')).code).toBe(4);
    expect((await on('clear', 'none', '--yes')).stderr).toBe(
      'Nothing was cleared: there is no namespace none, or it is empty.\n',
    );
    expect((await on('drop', 'none', '--yes')).stderr).toBe('Nothing was dropped: there is no namespace none.\n');
  });
});

test('history and log say from which position the log is kept, and where it ends', async () => {
  const dataDir = await newDir();
  const on = (...args: string[]) => run([...args, '--data-dir', dataDir]);
  for (const half of [0, 1]) {
    const input = Array.from({ length: 10 }, (_, index) => setLine(`k${index % 5}`, half * 10 + index)).join('');
    expect(await run(['apply', '--data-dir', dataDir], { input })).toMatchObject({ code: 0 });
  }
  expect(await on('log', '--from', '21')).toEqual({
    code: 0,
    stdout: '',
    stderr: 'The log ends at position 20.\n',
  });
  expect(await on('history', 'none')).toEqual({
    code: 0,
    stdout: '',
    stderr: 'The namespace default has never had a key none.\n',
  });
  const { first } = JSON.parse((await on('compact', '--keep-updates', '3', '--yes', '--json')).stdout);
  const kept = `The log is kept from position ${first} on; earlier updates have been discarded.\n`;
  const log = await on('log');
  expect(log).toMatchObject({ code: 0, stderr: kept });
  expect(jsonLines(log.stdout)[0]).toMatchObject({ position: first });
  expect((await on('log', '--from', String(first))).stderr).toBe('');
  expect((await on('history', 'k4')).stderr).toBe(kept);
  expect((await on('history', 'none')).stderr).toBe(kept);
  expect((await on('log', '--json')).stderr).toBe('');
  await using _server = await serve(dataDir);
  expect(await on('log')).toEqual(log);
});

test('ISO times stand beside positions, and replay ignores them', async () => {
  const dataDir = await newDir();
  const on = (...args: string[]) => run([...args, '--data-dir', dataDir]);
  await on('set', 'k', '1', '--ttl', '1h');
  const [update] = jsonLines((await on('log')).stdout);
  const time = new Date(Number(update?.at)).toISOString();
  expect(Object.keys(update ?? {}).slice(0, 2)).toEqual(['position', 'time']);
  expect(update).toMatchObject({ position: 1, time });
  expect(jsonLines((await on('history', 'k')).stdout)).toMatchObject([{ position: 1, time, at: update?.at }]);
  const shown = JSON.parse((await on('get', 'k', '--entry')).stdout);
  expect(shown).toMatchObject({ updatedAt: time, expiresAt: expect.stringMatching(ISO), agent: null });
  expect(JSON.parse((await on('get', 'k', '--entry', '--json')).stdout)).toMatchObject({ updatedAt: update?.at });
  const taken = JSON.parse((await on('backup', 'now', '--json')).stdout);
  const status = JSON.parse((await on('backup', 'status')).stdout);
  expect(status.lastSnapshot?.at ?? taken.at).toBeDefined();
  const log = (await on('log')).stdout;
  const again = await run(['replay', '-', '--data-dir', `${dataDir}-again`], { input: log });
  expect(again).toMatchObject({ code: 0 });
  expect((await run(['log', '--data-dir', `${dataDir}-again`])).stdout).toBe(log);
});

test('backup enable and disable print the new state', async () => {
  const dataDir = await newDir();
  const on = (...args: string[]) => run(['backup', ...args, '--data-dir', dataDir]);
  await run(['set', 'k', '1', '--data-dir', dataDir]);
  const settings = 'interval 300 s, mode periodic, keep 5';
  const enabled = await on('enable');
  expect(enabled).toMatchObject({ code: 0, stdout: `enabled: ${settings}\n` });
  expect(enabled.stderr).toMatch(/^No process serves \S+: snapshots are taken while "context-cache serve" runs\.\n$/);
  expect((await on('disable')).stdout).toBe(`disabled: ${settings}\n`);
  expect((await on('settings', '--keep', '3')).stdout).toBe('disabled: interval 300 s, mode periodic, keep 3\n');
  expect((await on('enable', '--json')).stdout).toBe('{"enabled":true,"interval":300,"mode":"periodic","keep":3}\n');
  expect((await on('disable', '--json')).stdout).toBe('{"enabled":false,"interval":300,"mode":"periodic","keep":3}\n');
});

test('config shows the variables of the environment, including those that need a flag', async () => {
  const env = {
    REDIS_URL: 'redis://user:secret@env:6379',
    NATS_URL: 'nats://env:4222',
    SUBJECT_ID: 'me',
    CONTEXT_CACHE_DIR: 'here',
    NO_COLOR: '1',
  };
  const cwd = await tempDir('told');
  const { stdout, stderr } = await run(['config'], { cwd, env });
  expect(stdout).toMatch(/^dataDir +here +environment: CONTEXT_CACHE_DIR$/m);
  expect(stdout).toMatch(/^subjectId +me +environment: SUBJECT_ID$/m);
  expect(stdout).toMatch(/^redis +off +REDIS_URL is redis:\/\/\*\*\*@env:6379: add --redis to use it$/m);
  expect(stdout).toMatch(/^nats +off +NATS_URL is nats:\/\/env:4222: add --nats to use it$/m);
  expect(stdout).toMatch(/^color +off +environment: NO_COLOR$/m);
  expect(stdout + stderr).not.toContain('secret');
  const settings = JSON.parse((await run(['config', '--json'], { cwd, env })).stdout) as { name: string }[];
  expect(settings.find(({ name }) => name === 'redis')).toEqual({
    name: 'redis',
    origin: 'default',
    environment: { REDIS_URL: 'redis://***@env:6379' },
  });
});
