import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isListed, withSubcommands } from '../../src/cli/config/config-file.ts';
import { examplesOf } from '../../src/cli/context.ts';
import { createProgram } from '../../src/cli/program.ts';
import { EXIT } from '../../src/cli/terminal/failure.ts';
import { Output } from '../../src/cli/terminal/output.ts';
import { NatsCluster } from '../cluster/support/nats-cluster.ts';
import { ended, type Ran, runAtTerminal, runLine, serve, setLine, startLine, waitFor } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { projectRoot } from '../support/dist.ts';
import { natsRelease } from '../support/nats-release.ts';
import { startNats, startRedis, type TestServer } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';

const newProgram = () => createProgram({ output: new Output(true), exitCode: EXIT.ok });
const commands = withSubcommands(newProgram()).filter((command) => isListed(command));

/** Returns the words of a command: `backup enable`; empty for the program. */
function pathOf(command: Command): string {
  return command.parent === null ? '' : `${pathOf(command.parent)} ${command.name()}`.trim();
}

/** Commands that run until a signal. */
const ENDLESS = /^(serve|watch|inspect(?!.*--json)|demo$)/;
/** Exit codes of examples that do not end with 0. */
const ENDS_WITH: Readonly<Record<string, number>> = {
  // No node serves the directory.
  'cluster raise': 2,
  'cluster raise --protocol 2': 2,
  // There is nothing to refound: the directory was no node, and there are no snapshots.
  'cluster refound --cluster plans --snapshots redis://127.0.0.1:6379': 2,
  'cluster refound --cluster plans --from-snapshot --snapshots ./shared --replicas 1': 3,
  'bisect --module never-false.js': EXIT.notFound,
  'token --agent planner --revoke': EXIT.notFound,
};

/** What is done before an example, by its first words. */
const BEFORE: Readonly<Record<string, string>> = {
  'forget user-42': `context-cache set address '"Oslo"' -n trip --subject user-42`,
  'grants remove planner': `context-cache grants add operator --admin && context-cache grants add planner --read 'trip/**'`,
};

describe('the examples of the help', () => {
  /** Has a mirror and a snapshot of the folder that is copied. */
  let redis: TestServer;
  /** The server that the examples write to. */
  let scratch: TestServer;
  let nats: TestServer;
  /** A server that is new enough for a cluster, if there is one. */
  let clustered: NatsCluster | undefined;
  let world: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    [redis, scratch, nats] = await Promise.all([startRedis(), startRedis(), startNats()]);
    const release = natsRelease('2.15');
    clustered = 'missing' in release ? undefined : await NatsCluster.start({ program: release.program, size: 1 });
    env = { REDIS_URL: redis.url, NATS_URL: nats.url, CLUSTER_SERVERS: clustered?.urls.join() ?? nats.url };
    world = await tempDir('examples');
    await makeStream(nats.url);
    const commands = [
      ...[1, 2, 3, 4].map((step) => setLine('plan', { step }, { namespace: 'trip' })),
      setLine('late', true, { namespace: 'trip' }),
      setLine('note', 'as it is'),
    ];
    await writeFile(join(world, 'commands.ndjson'), commands.join(''));
    await writeFile(join(world, 'page.html'), '<p>');
    await writeFile(join(world, 'grants.json'), '[{ "agent": "planner", "read": ["trip/**"] }]');
    await writeFile(join(world, 'package.json'), '{"type":"module"}');
    await writeFile(join(world, 'schemas.js'), 'export default {};');
    await writeFile(join(world, 'has-a-plan.js'), `export default (view) => !view.has('late', 'trip');`);
    await mkdir(join(world, '.config/fish/completions'), { recursive: true });
    const made = await runLine(
      `context-cache apply commands.ndjson --nats --redis --topic agents.context && context-cache log > run.ndjson &&
       context-cache backup now --redis && context-cache backup now --backup-dir snapshots &&
       ${clustered === undefined ? 'true' : 'context-cache cluster init --cluster plans --replicas 1'}`,
      { cwd: world, env },
    );
    expect(made).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await Promise.all([redis, scratch, nats, clustered].map((server) => server?.[Symbol.asyncDispose]()));
  });

  /** Runs an example in its own copy of the folder. */
  async function runExample(example: string): Promise<Ran> {
    const cwd = await tempDir('example');
    await cp(world, cwd, { recursive: true });
    const { url } = /^(verify|restore)/.test(example) ? redis : scratch;
    const line = example
      .replace(/^bench(?: --round 1s)?/, 'bench --round 5ms')
      .replaceAll('redis://127.0.0.1:6379', url)
      .replaceAll('nats://127.0.0.1:4222', nats.url);
    const keys = line.startsWith('forget') ? { CONTEXT_CACHE_SUBJECT_KEYS: join(cwd, 'subject.keys') } : {};
    const options = { cwd, env: { ...env, ...keys, HOME: cwd } };
    for (const [words, before] of Object.entries(BEFORE)) {
      if (line.startsWith(words)) expect(await runLine(before, options)).toMatchObject({ code: 0 });
    }
    const command = commands.find((each) => pathOf(each) === example.split(' ')[0]);
    const asks = command?.options.some(({ long }) => long === '--yes') && !/--yes/.test(line);
    if (asks) return runAtTerminal(`context-cache ${line}`, { ...options, input: 'y\r' });
    if (!ENDLESS.test(line)) {
      const words = line.startsWith('mcp') ? undefined : wordsOf(line);
      return words === undefined ? runLine(`context-cache ${line}`, options) : run(words, options);
    }
    await using _server = line.startsWith('watch') ? await serve(join(cwd, '.context-cache')) : undefined;
    const child = startLine(`context-cache ${line}`, options);
    const all = ended(child);
    if (line.startsWith('watch')) await waitFor(async () => expect(await watchersOf(cwd)).toBe(1));
    else await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data'), all]);
    child.kill('SIGINT');
    return all;
  }

  test.each(commands.map((command) => [pathOf(command), command] as const))('of "%s" run', async (_, command) => {
    const examples = examplesOf(command);
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      expect(example.startsWith(pathOf(command)), example).toBe(true);
      if (/\bcluster\b/.test(example) && clustered === undefined) continue;
      const { code, stdout, stderr } = await runExample(example);
      expect({ example, code, stdout, stderr }).toMatchObject({ code: ENDS_WITH[example] ?? 0 });
    }
  });
});

/** Splits a line as a shell does; `undefined` if it has more than words and quotes. */
function wordsOf(line: string): string[] | undefined {
  if (/[|<>&;$`\\*?~#()]/.test(line.replaceAll(/'[^']*'/g, ''))) return undefined;
  const words = line.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g);
  return Array.from(words, ([word]) => word.replaceAll(/'([^']*)'|"([^"]*)"/g, '$1$2'));
}

async function watchersOf(cwd: string): Promise<number> {
  return JSON.parse((await run(['health', '--json'], { cwd })).stdout).watchers;
}

async function makeStream(url: string): Promise<void> {
  const { connect } = await import('@nats-io/transport-node');
  const { jetstreamManager } = await import('@nats-io/jetstream');
  const connection = await connect({ servers: url });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: 'AGENTS', subjects: ['agents.context'] });
  await connection.close();
}

describe('the docs of the command line', () => {
  const docs = ['README.md', ...readdirSync(join(projectRoot, 'docs')).map((name) => `docs/${name}`)]
    .filter((path) => path.endsWith('.md'))
    .map((path) => [path, readFileSync(join(projectRoot, path), 'utf8')] as const);
  const cliPage = docs.find(([path]) => path === 'docs/cli.md')?.[1] ?? '';

  test('docs/cli.md mentions every command and every option', () => {
    const named = commands.map(pathOf).filter(Boolean);
    const missing = named.filter((path) => !cliPage.includes(path));
    const options = commands.flatMap((command) => command.options.map(({ long, flags }) => long ?? flags));
    const untold = [...new Set(options)].filter((long) => !cliPage.includes(long));
    expect({ missing, untold }).toEqual({ missing: [], untold: [] });
  });

  test('every option in docs/cli.md exists', () => {
    const known = new Set([...commands.flatMap(({ options }) => options.map(({ long }) => long)), '--help', '--raw']);
    const named = [...cliPage.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([flag]) => flag);
    expect(named.filter((flag) => !known.has(flag))).toEqual([]);
  });

  const LINES = docs.flatMap(([path, text]) => linesOf(text).map((line) => [path, line] as const));

  test.each(LINES)('%s: %s is valid', async (_, line) => {
    const words = (await runLine(`context-cache() { printf '%s\\0' "$@"; }; ${line}`)).stdout.split('\0').slice(0, -1);
    await expect(understood(words)).resolves.toBeDefined();
  });
});

/** Returns the commands of the shell blocks, without redirections and pipes. */
function linesOf(markdown: string): string[] {
  const blocks = [...markdown.matchAll(/^[ ]*```sh\n([\s\S]*?)^[ ]*```/gm)].map(([, text = '']) => text);
  const lines = blocks.flatMap((text) => text.split('\n'));
  return lines.flatMap((line) => /(?:^|[|;] ?)\s*(context-cache [^|;#>]+)/.exec(line)?.[1]?.trim() ?? []);
}

/** Parses the words without executing the command. */
async function understood(words: readonly string[]): Promise<Command> {
  const program = newProgram();
  for (const command of withSubcommands(program)) command.action(() => {});
  return program.parseAsync([...words], { from: 'user' });
}
