import { execFile } from 'node:child_process';
import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { run, waitFor } from '../support/cli.ts';
import { buildDist, cliPath } from '../support/dist.ts';
import { tempDir } from '../support/temp-dir.ts';

const clients: Client[] = [];

beforeAll(buildDist);

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

/** Starts a host: a process of the command line, and the official client on its standard input and output. */
async function host(
  dataDir: string,
  name: string,
  mode: 'legacy' | 'auto' = 'legacy',
  flags: readonly string[] = [],
): Promise<Client> {
  const client = new Client({ name, version: '1' }, { versionNegotiation: { mode } });
  const args = [cliPath, 'mcp', '--data-dir', dataDir, ...flags];
  await client.connect(new StdioClientTransport({ command: process.execPath, args, stderr: 'ignore' }));
  clients.push(client);
  return client;
}

/**
 * Runs the official inspector's command line once for each list of arguments, in one process, and returns what it has printed.
 * It reads the package.json of the whole inspector, two folders above it, which its own package does not have.
 */
async function inspected(commands: readonly (readonly string[])[]): Promise<Record<string, unknown>[]> {
  const installed = createRequire(import.meta.url).resolve('@modelcontextprotocol/inspector-cli');
  const folder = await tempDir('inspector');
  await cp(dirname(installed), join(folder, 'cli', 'build'), { recursive: true });
  await symlink(join(dirname(installed), '../../..'), join(folder, 'node_modules'));
  await writeFile(join(folder, 'package.json'), '{"name":"inspector","version":"1.0.3","type":"module"}');
  const runner = join(folder, 'run.mjs');
  await writeFile(
    runner,
    `const print = process.stdout.write.bind(process.stdout);
    const exit = process.exit.bind(process);
    const outputs = [];
    for (const [n, args] of JSON.parse(process.argv[2]).entries()) {
      let output = '';
      process.argv = ['node', 'inspector', ...args];
      process.stdout.write = (text, ...rest) => { output += text; rest.at(-1)?.(); return true; };
      const ended = new Promise((resolve) => { process.exit = resolve; });
      await import('./cli/build/index.js?' + n);
      const code = await ended;
      if (code !== 0) exit(code);
      outputs.push(JSON.parse(output));
    }
    print(JSON.stringify(outputs), () => exit(0));`,
  );
  const { stdout } = await promisify(execFile)(process.execPath, [runner, JSON.stringify(commands)]);
  return JSON.parse(stdout) as Record<string, unknown>[];
}

async function call(client: Client, name: string, args: Record<string, unknown>): Promise<Record<string, unknown>> {
  const { structuredContent, isError, content } = await client.callTool({ name, arguments: args });
  if (isError) throw new Error(JSON.stringify(content));
  return structuredContent as Record<string, unknown>;
}

describe('context-cache mcp', () => {
  test('keeps each of 40 concurrent writes of two hosts', async () => {
    const dataDir = await tempDir('mcp');
    const hosts = await Promise.all([host(dataDir, 'one'), host(dataDir, 'two', 'auto')]);
    expect(hosts.map((each) => each.getNegotiatedProtocolVersion())).toEqual(['2025-11-25', '2026-07-28']);
    const write = (n: number) => call(hosts[n % 2] as Client, 'update', { key: 'notes', patch: { [`n${n}`]: n } });
    await Promise.all(Array.from({ length: 40 }, (_, n) => write(n)));
    for (const each of hosts) {
      const { value, version } = await call(each, 'get', { key: 'notes' });
      expect(Object.keys(value as object)).toHaveLength(40);
      expect(version).toBe(40);
    }
    const { versions } = (await call(hosts[0] as Client, 'history', { key: 'notes' })) as {
      versions: { agent: string }[];
    };
    expect(new Set(versions.map(({ agent }) => agent))).toEqual(new Set(['one', 'two']));
    // Readable to everything else, while the hosts run and afterwards.
    expect(JSON.parse((await run(['get', 'notes', '--data-dir', dataDir, '--json'])).stdout)).toMatchObject({
      n39: 39,
    });
  });

  test.each(['legacy', 'auto'] as const)('tells a host of a change by another one (%s)', async (mode) => {
    const dataDir = await tempDir('mcp-watch');
    const watching = await host(dataDir, 'watching', mode);
    const writing = await host(dataDir, 'writing');
    const changed: string[] = [];
    watching.setNotificationHandler('notifications/resources/updated', ({ params }) => void changed.push(params.uri));
    const uri = 'context://trip/plan';
    const subscription = mode === 'auto' ? await watching.listen({ resourceSubscriptions: [uri] }) : undefined;
    if (mode === 'legacy') await watching.subscribeResource({ uri });
    await waitFor(async () => {
      await call(writing, 'set', { key: 'other', value: Math.random(), namespace: 'trip' });
      await call(writing, 'set', { key: 'plan', value: Math.random(), namespace: 'trip' });
      expect(changed.length).toBeGreaterThan(0);
    });
    expect(new Set(changed)).toEqual(new Set([uri]));
    await subscription?.close();
  });

  test('lists and calls each tool for the official inspector', async () => {
    const dataDir = await tempDir('mcp-inspector');
    await run(['set', 'plan', '{"to":"Oslo"}', '--namespace', 'trip', '--data-dir', dataDir]);
    // A host that stays and holds the directory: the calls below reach it by HTTP.
    await host(dataDir, 'resident');
    const { port, token } = JSON.parse(await readFile(join(dataDir, 'serve.json'), 'utf8'));
    const local = [process.execPath, cliPath, 'mcp', '--data-dir', dataDir];
    const remote = [`http://127.0.0.1:${port}/mcp`, '--header', `Authorization: Bearer ${token}`];
    const calls: Readonly<Record<string, readonly string[]>> = {
      get: ['key=plan', 'namespace=trip'],
      set: ['key=hotel', 'value="Adler"', 'namespace=trip'],
      update: ['key=plan', 'patch={"by":"train"}', 'namespace=trip'],
      delete: ['key=none', 'namespace=trip'],
      list: ['namespace=trip'],
      namespaces: [],
      search: ['text=oslo'],
      history: ['key=plan', 'namespace=trip'],
      changes: ['since=0'],
      briefing: ['maxTokens=100'],
      retract: ['position=1', 'dryRun=true'],
    };
    const [list, get, ...answers] = await inspected([
      [...local, '--method', 'tools/list'],
      [
        ...local,
        '--method',
        'tools/call',
        '--tool-name',
        'get',
        '--tool-arg',
        'key=plan',
        '--tool-arg',
        'namespace=trip',
      ],
      ...Object.entries(calls).map(([name, args]) => [
        ...[...remote, '--method', 'tools/call', '--tool-name', name],
        ...args.flatMap((arg) => ['--tool-arg', arg]),
      ]),
    ]);
    expect((list as { tools: { name: string }[] }).tools.map(({ name }) => name)).toEqual(Object.keys(calls));
    expect(get?.structuredContent).toMatchObject({ value: { to: 'Oslo' } });
    const shown = answers.map(({ isError = false, structuredContent }) => [isError, typeof structuredContent]);
    expect(shown).toEqual(Object.keys(calls).map(() => [false, 'object']));
  });

  test('forks and merges with --branches, while other hosts attach', async () => {
    const dataDir = await tempDir('mcp-branches');
    const holder = await host(dataDir, 'holder', 'legacy', ['--branches']);
    const other = await host(dataDir, 'other');
    await call(holder, 'fork', { branch: 'try' });
    await call(holder, 'set', { key: 'plan', value: 'train', branch: 'try' });
    await call(other, 'set', { key: 'note', value: 'meanwhile' });
    expect((await other.listTools()).tools.map(({ name }) => name)).not.toContain('fork');
    await call(holder, 'merge', { branch: 'try' });
    expect(await call(other, 'get', { key: 'plan' })).toMatchObject({ value: 'train' });
    const second = await run(['mcp', '--branches', '--data-dir', dataDir], { input: '' });
    expect(second).toMatchObject({ code: 6, stdout: '' });
    expect(second.stderr).toContain('already serves');
  });

  test('ends when the host closes its end, and leaves the directory free', async () => {
    const dataDir = await tempDir('mcp-end');
    const client = await host(dataDir, 'brief');
    await call(client, 'set', { key: 'plan', value: 1 });
    await client.close();
    expect(await run(['get', 'plan', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
  });

  test('writes nothing but the protocol to standard output', async () => {
    const dataDir = await tempDir('mcp-silent');
    const { code, stdout, stderr } = await run(['mcp', '--data-dir', dataDir], { input: '' });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain('to the MCP host');
    const refused = await run(['mcp', '--data-dir', dataDir, '--max-bytes', '1'], { input: '' });
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain('--max-bytes must be an integer from 1,024 up.');
  });
});
