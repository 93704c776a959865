import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AgentContextCache, type ContextStore, memorySubjectKeys } from '../../src/index.ts';
import { Readings } from '../../src/integrations/mcp-readings.ts';
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
      // Nothing was shown to it, and what it knows from elsewhere is not known.
      undefined,
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

  test('is what a search, a list with values, changes, history and a briefing show, and nothing else', async () => {
    const { cache, store } = await opened();
    await cache.setMany({ a: 'Oslo', b: 'Rome' }, 'trip');
    await cache.set('c', 'Oslo', 'notes');
    await cache.set('a', 'Oslo 2', 'trip');
    await cache.set('long', 'x'.repeat(1_500), 'trip');
    const shown: [string, object, unknown][] = [
      ['search', { text: 'oslo' }, [read('c', 1, 'notes'), read('a', 3)]],
      ['list', { namespace: 'trip', values: true, limit: 1 }, [read('a', 3)]],
      ['list', { namespace: 'trip' }, undefined],
      ['changes', { since: 1, limit: 2 }, [read('b', 2), read('c', 1, 'notes')]],
      ['history', { key: 'a', namespace: 'trip' }, [read('a', 3)]],
      ['history', { key: 'a', namespace: 'trip', before: 3 }, undefined],
      ['briefing', { namespaces: ['notes'] }, [read('c', 1, 'notes')]],
    ];
    for (const [index, [tool, args, basis]] of shown.entries()) {
      const mcp = await client(store, {}, `reader ${index}`);
      await call(mcp, tool, args);
      await call(mcp, 'set', { key: `k${index}`, value: 1 });
      expect((await bases(cache)).at(-1), tool).toEqual(basis);
    }
    // The cursor of a briefing is no write of the model.
    expect((await bases(cache)).at(-2)).toBeUndefined();
    const mcp = await client(store, {}, 'prompted');
    await mcp.getPrompt({ name: 'what_changed', arguments: { namespace: 'notes' } });
    await call(mcp, 'set', { key: 'prompted', value: 1 });
    expect((await bases(cache)).at(-1)).toEqual([read('c', 1, 'notes')]);
  });

  test('is also the entry that a conflict shows, so the retry contradicts nobody', async () => {
    const { cache, store } = await opened();
    const [ann, bob] = [await client(store, {}, 'ann'), await client(store, {}, 'bob')];
    await cache.set('plan', 1, 'trip');
    for (const mcp of [ann, bob]) await call(mcp, 'get', { key: 'plan', namespace: 'trip' });
    await call(ann, 'set', { key: 'plan', value: 2, namespace: 'trip', ifVersion: 1 });
    const late = { key: 'plan', value: 3, namespace: 'trip' };
    await expect(call(bob, 'set', { ...late, ifVersion: 1 })).rejects.toThrow(/VERSION_CONFLICT/);
    await call(bob, 'set', { ...late, ifVersion: 2 });
    expect((await bases(cache)).at(-1)).toEqual([read('plan', 2)]);
    expect((await cache.contradictions({ since: 0 })).contradictions).toEqual([]);
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

test('what was read in a branch and outside of it makes the basis of later writes unknown', async () => {
  const cache = memory();
  await cache.set('budget', 900, 'trip');
  const mcp = await client(cache, { branches: true });
  await call(mcp, 'fork', { branch: 'x' });
  await call(mcp, 'get', { key: 'budget', namespace: 'trip', branch: 'x' });
  await call(mcp, 'set', { key: 'plan', value: 1, namespace: 'trip', branch: 'x' });
  await call(mcp, 'merge', { branch: 'x' });
  // Within the branch it is known, and the merge keeps it.
  expect((await bases(cache)).at(-1)).toEqual([read('budget', 1)]);
  await call(mcp, 'set', { key: 'plan', value: 2, namespace: 'trip' });
  await call(mcp, 'get', { key: 'budget', namespace: 'trip' });
  await call(mcp, 'set', { key: 'plan', value: 3, namespace: 'trip' });
  expect((await bases(cache)).slice(2)).toEqual([undefined, undefined]);
});

test('a write to the cache has no basis once its client has read in a branch, also if it read the cache first', async () => {
  const cache = memory();
  await cache.setMany({ budget: 900, hotel: 'Adler' }, 'trip');
  const mcp = await client(cache, { branches: true });
  await call(mcp, 'fork', { branch: 'x' });
  await call(mcp, 'get', { key: 'budget', namespace: 'trip' });
  await call(mcp, 'set', { key: 'plan', value: 1, namespace: 'trip' });
  await call(mcp, 'get', { key: 'hotel', namespace: 'trip', branch: 'x' });
  await call(mcp, 'set', { key: 'plan', value: 2, namespace: 'trip' });
  expect((await bases(cache)).slice(2)).toEqual([[read('budget', 1)], undefined]);
});

test('a directory without the keys of its subjects is searched all the same', async () => {
  const dataDir = await tempDir('mcp-sealed');
  const written = await AgentContextCache.open({ dataDir, natsUrl: null, subjects: { keys: memorySubjectKeys() } });
  await written.set('guest', { city: 'Oslo', email: 'a@b' }, 'trip', { subjects: { '/email': 'user-42' } });
  await written.shutdown();
  await using cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  const mcp = await client(cache);
  expect((await call(mcp, 'search', { text: 'oslo' })).entries).toHaveLength(1);
});

test('of further names of a client nothing is remembered', async () => {
  const readings = new Readings();
  const cache = memory();
  const names = Array.from({ length: 17 }, (_, index) => `client ${index}`);
  for (const name of names) readings.of(cache, name).shown({ namespace: 'n', key: 'k', version: 1 });
  const basisOf = async (name: string) => {
    let found: unknown = 'not asked';
    await readings.of(cache, name).based('n', 'other', async (basis) => {
      found = basis;
      return { version: 1, position: 1, changed: false };
    });
    return found;
  };
  expect(await basisOf('client 0')).toEqual([read('k', 1, 'n')]);
  expect(await basisOf('client 16')).toBeUndefined();
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
