import { execFile } from 'node:child_process';
import { cp, symlink, writeFile } from 'node:fs/promises';
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
async function host(dataDir: string, name: string, mode: 'legacy' | 'auto' = 'legacy'): Promise<Client> {
  const client = new Client({ name, version: '1' }, { versionNegotiation: { mode } });
  const args = [cliPath, 'mcp', '--data-dir', dataDir];
  await client.connect(new StdioClientTransport({ command: process.execPath, args, stderr: 'ignore' }));
  clients.push(client);
  return client;
}

/**
 * Returns the program of the official inspector's command line. It reads the package.json of the whole inspector, two folders
 * above it, which its own package does not have.
 */
async function inspectorProgram(): Promise<string> {
  const installed = createRequire(import.meta.url).resolve('@modelcontextprotocol/inspector-cli');
  const folder = await tempDir('inspector');
  await cp(dirname(installed), join(folder, 'cli', 'build'), { recursive: true });
  await symlink(join(dirname(installed), '../../..'), join(folder, 'node_modules'));
  await writeFile(join(folder, 'package.json'), '{"name":"inspector","version":"1.0.3","type":"module"}');
  return join(folder, 'cli', 'build', 'index.js');
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
    const inspector = await inspectorProgram();
    // A host that stays, so that each call below attaches to it.
    await host(dataDir, 'resident');
    const inspect = async (method: string, ...args: readonly string[]): Promise<Record<string, unknown>> => {
      const command = [inspector, process.execPath, cliPath, 'mcp', '--data-dir', dataDir, '--method', method, ...args];
      const { stdout } = await promisify(execFile)(process.execPath, command);
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    const { tools } = (await inspect('tools/list')) as { tools: { name: string }[] };
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
    };
    expect(tools.map(({ name }) => name)).toEqual(Object.keys(calls));
    const answers = await Promise.all(
      Object.entries(calls).map(async ([name, args]) => {
        const flags = args.flatMap((arg) => ['--tool-arg', arg]);
        const answer = await inspect('tools/call', '--tool-name', name, ...flags);
        return [name, answer.isError ?? false, typeof answer.structuredContent];
      }),
    );
    expect(answers).toEqual(Object.keys(calls).map((name) => [name, false, 'object']));
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
