import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AgentContextCache, type ContextStore } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { buildDist, cliPath } from '../support/dist.ts';
import { tempDir } from '../support/temp-dir.ts';
import { call, client, memory, remote } from './mcp-client.ts';

/** Returns the basis of each update in the log, in order. */
async function bases(cache: AgentContextCache): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const { basis } of cache.readLog()) found.push(basis);
  return found;
}

const read = (key: string, version: number, namespace = 'trip') => ({ namespace, key, version });

describe.each([
  ['a local cache', () => memory()],
  ['a remote cache', remote],
])('what an MCP client has read from %s', (_, open) => {
  const opened = async (): Promise<{ cache: AgentContextCache; store: ContextStore }> => {
    const found = await open();
    return found instanceof AgentContextCache ? { cache: found, store: found } : found;
  };

  test('is the basis of what it writes next, each client for itself', async () => {
    const { cache, store } = await opened();
    await cache.setMany({ budget: 900, hotel: 'Adler' }, 'trip');
    const [planner, other] = [await client(store), await client(store, {}, 'other')];
    await call(planner, 'get', { key: 'budget', namespace: 'trip' });
    await call(planner, 'set', { key: 'plan', value: 'bus', namespace: 'trip' });
    await call(other, 'set', { key: 'note', value: 1, namespace: 'trip' });
    await call(planner, 'get', { key: 'none', namespace: 'trip' });
    const basis = [{ namespace: 'trip', key: 'hotel', version: 2 }];
    await call(planner, 'update', { key: 'plan', patch: { to: 'Oslo' }, namespace: 'trip', basis });
    await call(planner, 'delete', { key: 'hotel', namespace: 'trip' });
    expect((await bases(cache)).slice(2)).toEqual([
      [read('budget', 1)],
      [],
      // An update has read the entry that it changes.
      [...basis, read('plan', 3)],
      // What was read before a write with a basis of its own stays remembered.
      expect.arrayContaining([read('none', 0)]),
    ]);
    expect((await cache.provenance('plan', 'trip'))?.writes.map(({ key }) => key)).toEqual([
      'plan',
      'hotel',
      'plan',
      'budget',
    ]);
  });

  test('is what a search, a list with values and changes show, not what a search looks at', async () => {
    const { cache, store } = await opened();
    await cache.setMany({ a: 'Oslo', b: 'Rome' }, 'trip');
    await cache.set('c', 'Oslo', 'notes');
    await cache.set('d', 'Kyiv', 'other');
    const [found, listed, changed] = [await client(store), await client(store, {}, 'b'), await client(store, {}, 'c')];
    await call(found, 'search', { text: 'oslo' });
    await call(found, 'set', { key: 'x', value: 1 });
    await call(listed, 'list', { namespace: 'trip', values: true });
    await call(listed, 'set', { key: 'y', value: 1 });
    await call(changed, 'changes', { since: 3 });
    await call(changed, 'set', { key: 'z', value: 1 });
    const [x, y, z] = (await bases(cache)).slice(4);
    expect(x).toEqual([read('c', 1, 'notes'), read('a', 1)]);
    expect(y).toEqual([read('a', 1), read('b', 2)]);
    expect(z).toEqual(expect.arrayContaining([read('d', 1, 'other')]));
  });

  test('is also a resource', async () => {
    const { cache, store } = await opened();
    await cache.set('plan', 'bus', 'trip');
    const mcp = await client(store);
    await mcp.readResource({ uri: 'context://trip/plan' });
    await call(mcp, 'set', { key: 'ticket', value: 1, namespace: 'trip' });
    expect((await bases(cache)).at(-1)).toEqual([read('plan', 1)]);
  });
});

test('a process that serves a host by standard input and output remembers what the host has read', async () => {
  await buildDist();
  const dataDir = await tempDir('mcp-basis');
  for (const [name, mode] of [
    ['old', 'legacy'],
    ['new', 'auto'],
  ] as const) {
    const mcp = new Client({ name, version: '1' }, { versionNegotiation: { mode } });
    const args = [cliPath, 'mcp', '--data-dir', dataDir];
    await mcp.connect(new StdioClientTransport({ command: process.execPath, args, stderr: 'ignore' }));
    await call(mcp, 'get', { key: 'budget' });
    await call(mcp, 'set', { key: name, value: 1 });
    await mcp.close();
  }
  await using cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  expect(await bases(cache)).toEqual([[read('budget', 0, 'default')], [read('budget', 0, 'default')]]);
});

test('over HTTP a session remembers, and a client without a session names the basis itself', async () => {
  const cache = memory();
  const server = await startServer(cache, { agentTokens: { scribe: 'the-token-of-scribe' } });
  onTestFinished(() => server.close());
  const connected = async (mode: 'legacy' | 'auto') => {
    const mcp = new Client({ name: 'c', version: '1' }, { versionNegotiation: { mode } });
    const requestInit = { headers: { authorization: 'Bearer the-token-of-scribe' } };
    await mcp.connect(new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`), { requestInit }));
    onTestFinished(async () => void (await mcp.close()));
    return mcp;
  };
  const [withSession, without] = [await connected('legacy'), await connected('auto')];
  for (const mcp of [withSession, without]) {
    await call(mcp, 'get', { key: 'budget' });
    await call(mcp, 'set', { key: 'plan', value: 1 });
  }
  const basis = [{ key: 'budget', version: 0 }];
  await call(without, 'set', { key: 'plan', value: 2, basis });
  const budget = read('budget', 0, 'default');
  expect(await bases(cache)).toEqual([[budget], undefined, [budget]]);
});
