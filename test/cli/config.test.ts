import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { ConfigFile, withSubcommands } from '../../src/cli/config/config-file.ts';
import { withoutSecrets } from '../../src/cli/config/settings.ts';
import { createProgram } from '../../src/cli/program.ts';
import { EXIT } from '../../src/cli/terminal/failure.ts';
import { Output } from '../../src/cli/terminal/output.ts';
import { nearest } from '../../src/core/nearest.ts';
import { serve, setLine } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { startRedis } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';

const program = () => createProgram({ output: new Output(true), exitCode: EXIT.ok });

async function folderWith(content: unknown, name = 'context-cache.config.json'): Promise<string> {
  const cwd = await tempDir('config');
  await writeFile(join(cwd, name), typeof content === 'string' ? content : JSON.stringify(content));
  return cwd;
}

interface Shown {
  readonly name: string;
  readonly value?: unknown;
  readonly origin: string;
  readonly from?: string;
}

/** Returns the settings of `config --json` by name. */
async function settingsOf(cwd: string, args: readonly string[] = [], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await run(['config', '--json', ...args], { cwd, env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return new Map((JSON.parse(stdout) as Shown[]).map(({ name, ...rest }) => [name, rest]));
}

describe('flags over environment over file over defaults', () => {
  const FILE = 'context-cache.config.json';

  test('each value comes from its strongest origin, which config names', async () => {
    const cwd = await folderWith({
      dataDir: './from-file',
      namespace: 'trip',
      redis: 'redis://u:secret@file:1',
      topic: 'one',
      serve: { keep: '30d', subjectId: 'file' },
      apply: { subjectId: 'file', redis: false },
      doctor: { nats: true },
    });
    const fromFile = await settingsOf(cwd);
    expect(fromFile.get('dataDir')).toEqual({
      value: join(cwd, 'from-file'),
      origin: 'file',
      from: `${FILE}: dataDir`,
    });
    expect(fromFile.get('namespace')).toEqual({ value: 'trip', origin: 'file', from: `${FILE}: namespace` });
    expect(fromFile.get('dump.namespace')).toEqual({ origin: 'default' });
    expect(fromFile.get('serve.redis')).toEqual({
      value: 'redis://***@file:1',
      origin: 'file',
      from: `${FILE}: redis`,
    });
    expect(fromFile.get('apply.redis')).toEqual({ origin: 'file', from: `${FILE}: apply.redis` });
    const local = { value: 'nats://127.0.0.1:4222', origin: 'file', from: `${FILE}: doctor.nats` };
    expect(fromFile.get('doctor.nats')).toEqual(local);
    expect(fromFile.get('topic')).toEqual({ value: ['one'], origin: 'file', from: `${FILE}: topic` });
    expect(fromFile.get('serve.keep')).toMatchObject({ value: 30 * 24 * 3_600_000, from: `${FILE}: serve.keep` });
    expect(fromFile.get('backup.keep')).toEqual({ origin: 'default' });
    expect(fromFile.get('durability')).toEqual({ value: 'log', origin: 'default' });

    const env = { CONTEXT_CACHE_DIR: 'from-env', REDIS_URL: 'redis://env:2', SUBJECT_ID: 'env', NATS_URL: '' };
    const fromEnv = await settingsOf(cwd, [], env);
    expect(fromEnv.get('dataDir')).toEqual({ value: 'from-env', origin: 'environment', from: 'CONTEXT_CACHE_DIR' });
    expect(fromEnv.get('serve.redis')).toEqual({ value: 'redis://env:2', origin: 'environment', from: 'REDIS_URL' });
    expect(fromEnv.get('apply.redis')).toEqual({
      origin: 'file',
      from: `${FILE}: apply.redis`,
      environment: { REDIS_URL: 'redis://env:2' },
    });
    expect(fromEnv.get('subjectId')).toEqual({ value: 'env', origin: 'environment', from: 'SUBJECT_ID' });

    const flagged = await settingsOf(cwd, ['--data-dir', 'flag'], env);
    expect(flagged.get('dataDir')).toEqual({ value: 'flag', origin: 'flag', from: '--data-dir' });
    const empty = await settingsOf(cwd, [], { CONTEXT_CACHE_DIR: '' });
    expect(empty.get('dataDir')?.origin).toBe('file');
  });

  test('commands use the file, and a flag overrides it', async () => {
    const cwd = await folderWith({ dataDir: 'memory', namespace: 'trip', agent: 'file', set: { agent: 'section' } });
    const on = (...args: string[]) => run(args, { cwd });
    expect(await on('set', 'k', '1')).toMatchObject({ code: 0 });
    expect(await on('set', 'k', '2', '-n', 'other', '--agent', 'flag')).toMatchObject({ code: 0 });
    expect((await on('get', 'k', '--entry')).stdout).toContain('"agent":"section"');
    expect((await on('get', 'k', '-n', 'other', '--entry')).stdout).toContain('"agent":"flag"');
    expect((await on('dump')).stdout.split('\n')).toHaveLength(3);
    expect((await on('keys', '--data-dir', join(cwd, 'memory'))).stdout).toBe('k\n');
    expect((await on('config')).stdout).toMatch(
      /^dataDir {2,}\S*memory {2,}file: context-cache\.config\.json: dataDir$/m,
    );
  });

  test('a JavaScript file works too; --config names another file', async () => {
    const cwd = await folderWith(`export default { dataDir: './js', json: true };`, 'context-cache.config.js');
    await writeFile(join(cwd, 'package.json'), '{"type":"module"}');
    await writeFile(join(cwd, 'other.json'), '{"dataDir":"other"}');
    expect(await run(['set', 'k', '1'], { cwd })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('{"version"'),
    });
    expect((await settingsOf(cwd)).get('dataDir')?.value).toBe(join(cwd, 'js'));
    expect((await settingsOf(cwd, ['--config', 'other.json'])).get('dataDir')?.value).toBe(join(cwd, 'other'));
  });

  test('a Redis of the file is used, one of the environment alone is not', async () => {
    await using redis = await startRedis();
    const cwd = await folderWith({ apply: { redis: true } });
    const env = { REDIS_URL: redis.url };
    expect(await run(['apply'], { cwd, env, input: setLine('k', 1) })).toMatchObject({ code: 0 });
    const other = await tempDir('config');
    expect(await run(['apply'], { cwd: other, env, input: setLine('other', 1) })).toMatchObject({ code: 0 });
    const { Redis } = await import('ioredis');
    const client = new Redis(redis.url);
    expect(await client.exists('default:k', 'default:other')).toBe(1);
    client.disconnect();
  });

  test('settings for a served directory do not disturb the commands that use it', async () => {
    const cwd = await folderWith({ redis: 'redis://127.0.0.1:1', backupDir: 'snapshots', drainTimeout: 100 });
    await using _server = await serve(join(cwd, '.context-cache'), ['--json'], { cwd });
    expect(await run(['apply'], { cwd, input: setLine('k', 1) })).toMatchObject({ code: 0 });
    expect(await run(['backup'], { cwd })).toMatchObject({ code: 0 });
    expect((await run(['backup', 'list', '--backup-dir', 'snapshots', '--json'], { cwd })).stdout).toContain(
      '"whole":true',
    );
    const flagged = await run(['apply', '--redis', 'redis://127.0.0.1:1'], { cwd, input: '' });
    expect(flagged).toMatchObject({ code: 2, stderr: expect.stringContaining('its own') });
  });
});

describe('a wrong file is refused, naming file and property', () => {
  const WRONG: readonly (readonly [string, unknown, string])[] = [
    ['a mistyped name', { dataDirr: 'x' }, 'dataDirr is no option. Did you mean dataDir?'],
    ['a name with dashes', { 'data-dir': 'x' }, 'data-dir is no option. Did you mean dataDir?'],
    ['a name like nothing', { zzz: 1 }, 'zzz is no option. See "context-cache config"'],
    ['a mistyped command', { serv: {} }, 'serv is no option. Did you mean serve?'],
    ['a mistyped name of a command', { serve: { prot: 1 } }, 'serve.prot is no option. Did you mean port?'],
    ['a name of another command', { get: { port: 1 } }, 'get.port is no option'],
    ['a command that is no object', { serve: true }, 'serve is a command; give its options: { "serve": { … } }'],
    ['a name that means several things', { keep: 5 }, 'keep means different things to serve and compact and backup'],
    ['a filter of a command', { dump: { at: true } }, 'dump.at must be a text or a number'],
    ['a text for true', { json: 'yes' }, 'json must be true or false'],
    ['a bad number', { serve: { port: 'many' } }, 'serve.port is not valid. Give an integer from 0.'],
    ['a number beyond bounds', { port: 99_999 }, 'port is not valid. Give a port from 0 to 65535.'],
    ['a bad duration', { drainTimeout: 'soon' }, "drainTimeout is not valid. Give a duration such as '60s'"],
    ['a bad choice', { durability: 'maybe' }, 'durability is not valid. Allowed choices are log, memory.'],
    ['an object', { agent: {} }, 'agent must be a text or a number'],
    ['a list with numbers', { topic: ['a', 1] }, 'topic must be a text or an array of texts'],
    ['consent', { compact: { yes: true } }, 'compact.yes cannot be set in a file'],
    ['colours', { color: false }, 'color cannot be set in a file'],
    ['no object', [], 'does not contain an object of options'],
    ['no JSON', '{\n  "dataDir" 1\n}', 'is not JSON (line 2, column 13)'],
  ];
  test.each(WRONG)('%s', async (_, content, message) => {
    const cwd = await folderWith(content);
    const file = join(cwd, 'context-cache.config.json');
    const found = ConfigFile.find(program(), file);
    await expect(found).rejects.toThrow(message);
    await expect(found).rejects.toThrow('context-cache.config.json');
  });

  test('with 2, before anything has changed, and without repeating a URL', async () => {
    const cwd = await folderWith({ redis: 'http://u:secret@host', dataDirr: 1 });
    const { code, stderr } = await run(['set', 'k', '1', '--json'], { cwd });
    expect(code).toBe(2);
    expect(JSON.parse(stderr).error).toEqual({ code: 'USAGE', message: expect.stringContaining('dataDirr') });
    await writeFile(join(cwd, 'context-cache.config.json'), '{"redis":"http://u:secret@host"}');
    const url = await run(['serve'], { cwd });
    expect(url).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/config\.json: redis takes a URL such as redis:/),
    });
    expect(url.stderr).not.toContain('secret');
    await writeFile(join(cwd, 'context-cache.config.js'), 'export default {}');
    expect((await run(['keys'], { cwd })).stderr).toMatch(
      /The working directory has .*config\.js and .*config\.json\. Keep one/,
    );
    expect((await run(['keys', '--config', 'none.json'], { cwd })).stderr).toMatch(
      /none\.json cannot be read \(ENOENT\)/,
    );
    await writeFile(join(cwd, 'bad.js'), 'export default {');
    expect((await run(['keys', '--config', 'bad.js'], { cwd })).stderr).toMatch(
      /bad\.js cannot be loaded: SyntaxError/,
    );
  });
});

describe('names', () => {
  let names: string[];
  beforeAll(() => {
    const tree = program();
    names = withSubcommands(tree).flatMap(({ options }) => options.map((option) => option.attributeName()));
  });

  test('config knows every option that is a setting', async () => {
    const shown = [...(await settingsOf(await tempDir('config'))).keys()].map((name) => name.split('.').at(-1));
    const missing = new Set(names.filter((name) => !shown.includes(name)));
    expect(missing).toEqual(
      new Set([
        ...['version', 'config', 'color', 'yes', 'module', 'allowWrite', 'revoke', 'operationId'],
        // Those of a grant.
        ...['read', 'write', 'admin'],
      ]),
    );
  });

  test('nearest finds the meant name', () => {
    const known = ['dataDir', 'backupDir', 'namespace', 'nats'];
    expect(
      ['datadir', 'data_dir', 'dataDirectory', 'namespaces', 'natss', 'name', 'x', 'colour'].map((word) =>
        nearest(word, known),
      ),
    ).toEqual(['dataDir', 'dataDir', 'dataDir', 'namespace', 'nats', 'namespace', undefined, undefined]);
  });

  test('secrets are hidden everywhere in a URL', () => {
    expect(
      withoutSecrets([
        'nats://token@host',
        'nats://u:p@w@a,nats://b',
        'u:p@host:1',
        'redis://h/0?password=x&a=b',
        'me@home',
      ]),
    ).toEqual(['nats://***@host', 'nats://***@a,nats://b', '***@host:1', 'redis://h/0?password=***&a=b', 'me@home']);
  });
});
