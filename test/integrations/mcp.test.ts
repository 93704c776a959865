import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from '@modelcontextprotocol/client';
import { describe, expect, test } from 'vitest';
import type { ContextStore } from '../../src/index.ts';
import { createMcpServer, type McpOptions } from '../../src/mcp.ts';
import { waitFor } from '../support/cli.ts';
import { projectRoot } from '../support/dist.ts';
import { call, client, memory, remote } from './mcp-client.ts';

describe.each([
  ['a local cache', async () => ({ store: memory() as ContextStore })],
  ['a remote cache', remote],
])('an MCP server over %s', (_, open) => {
  test('describes every tool with schemas and annotations', async () => {
    const mcp = await client((await open()).store);
    const { tools } = await mcp.listTools();
    const names = ['get', 'set', 'update', 'delete', 'list', 'namespaces', 'search', 'history', 'changes', 'briefing'];
    expect(tools.map(({ name }) => name)).toEqual([...names, 'retract']);
    for (const tool of tools) {
      expect(tool).toMatchObject({
        title: expect.any(String),
        inputSchema: { type: 'object', additionalProperties: false },
      });
      expect(tool.outputSchema).toMatchObject({ type: 'object' });
      expect(tool.annotations).toMatchObject({ readOnlyHint: expect.any(Boolean), openWorldHint: false });
    }
    const writing = tools.filter(({ annotations }) => annotations?.readOnlyHint === false).map(({ name }) => name);
    expect(writing).toEqual(['set', 'update', 'delete', 'briefing', 'retract']);
    const destructive = tools.filter(({ annotations }) => annotations?.destructiveHint).map(({ name }) => name);
    expect(destructive).toEqual(['set', 'update', 'delete', 'retract']);
  });

  test('writes under the name of the client, and reads it back', async () => {
    const { store } = await open();
    const mcp = await client(store, {}, 'claude-ai');
    expect(await call(mcp, 'get', { key: 'plan' })).toEqual({ found: false });
    const meta = { source: 'user' };
    const written = await call(mcp, 'set', { key: 'plan', value: { to: 'Oslo' }, namespace: 'trip', meta, ttl: '1h' });
    expect(written).toEqual({ version: 1, position: 1, changed: true });
    expect(await call(mcp, 'get', { key: 'plan', namespace: 'trip' })).toMatchObject({
      ...{ found: true, value: { to: 'Oslo' }, version: 1, agent: 'claude-ai', meta },
      expiresAt: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect(await store.entry('plan', 'trip')).toMatchObject({ value: { to: 'Oslo' }, agent: 'claude-ai', meta });
    expect(await call(mcp, 'delete', { key: 'plan', namespace: 'trip', ifVersion: 1 })).toMatchObject({
      changed: true,
    });
    expect(await call(mcp, 'get', { key: 'plan', namespace: 'trip' })).toEqual({ found: false });
  });

  test('writes under the agent of the options', async () => {
    const { store } = await open();
    const mcp = await client(store, { agent: 'scribe' });
    await call(mcp, 'set', { key: 'plan', value: null });
    expect(await store.entry('plan')).toMatchObject({ value: null, agent: 'scribe' });
  });

  test('refuses a stale write with the current entry', async () => {
    const { store } = await open();
    const mcp = await client(store);
    await store.set('plan', 'mine', 'default', { agent: 'other' });
    const refused = await call(mcp, 'set', { key: 'plan', value: 'yours', ifVersion: 0 }).catch((error) => error);
    const { error } = JSON.parse(refused.text) as { error: unknown };
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', current: { value: 'mine', version: 1, agent: 'other' } });
    expect(await store.get('plan')).toBe('mine');
  });

  test('refuses arguments that a tool does not take, and values that the cache does not', async () => {
    const { store } = await open();
    const mcp = await client(store);
    const cases: readonly (readonly [string, object, RegExp])[] = [
      ['set', { key: 'plan' }, /value/],
      ['set', { key: 'plan', value: 1, namspace: 'trip' }, /additional|unknown|unrecognized/i],
      ['set', { key: 7, value: 1 }, /string/],
      ['set', { key: 'plan', value: 1, namespace: '' }, /INVALID_NAME/],
      ['set', { key: 'plan', value: '\ud800' }, /INVALID_VALUE/],
      ['list', { limit: 0 }, /limit|minimum|>=/],
      ['list', { cursor: 'x' }, /INVALID_OPTION.*cursor/],
      ['changes', { since: -1 }, /since|minimum|>=/],
    ];
    for (const [name, args, message] of cases) await expect(call(mcp, name, args), name).rejects.toThrow(message);
    expect(await store.listKeys()).toEqual([]);
  });

  test('keeps a property with any name', async () => {
    const { store } = await open();
    const mcp = await client(store);
    const patch = JSON.parse('{"__proto__":{"constructor":1}}') as unknown;
    await call(mcp, 'update', { key: 'odd', patch });
    expect(JSON.stringify(await store.get('odd'))).toBe('{"__proto__":{"constructor":1}}');
    const { entries } = await call(mcp, 'search', { text: '__PROTO__' });
    expect(entries).toHaveLength(1);
  });

  test('changes the properties that a merge patch names, atomically', async () => {
    const { store } = await open();
    const mcp = await client(store);
    await store.set('plan', { to: 'Oslo', days: { first: 1, last: 4 }, hotel: 'Adler' });
    const patch = { days: { last: 5 }, hotel: null, by: 'train' };
    expect(await call(mcp, 'update', { key: 'plan', patch })).toMatchObject({
      ...{ version: 2, changed: true },
      value: { to: 'Oslo', days: { first: 1, last: 5 }, by: 'train' },
    });
    const counters = Array.from({ length: 20 }, (_, i) =>
      call(mcp, 'update', { key: 'plan', patch: { [`n${i}`]: i } }),
    );
    await Promise.all(counters);
    expect(Object.keys((await store.get('plan')) as object)).toHaveLength(23);
  });

  test('lists keys and namespaces in pages that neither repeat nor skip', async () => {
    const { store } = await open();
    const mcp = await client(store, { maxBytes: 1_024 });
    const keys = Array.from({ length: 50 }, (_, i) => `task/${String(i).padStart(2, '0')}`);
    await store.setMany(Object.fromEntries(keys.map((key) => [key, { key, text: 'x'.repeat(20) }])), 'trip');
    for (const values of [false, true]) {
      const seen: string[] = [];
      let cursor: unknown;
      do {
        const args = {
          namespace: 'trip',
          prefix: 'task/',
          values,
          limit: 20,
          ...(cursor === undefined ? {} : { cursor }),
        };
        const { entries, next } = await call(mcp, 'list', args);
        expect(JSON.stringify(entries).length).toBeLessThan(1_100);
        seen.push(...(entries as { key: string }[]).map(({ key }) => key));
        cursor = next;
      } while (cursor !== undefined);
      expect(seen).toEqual(keys);
    }
    expect(await call(mcp, 'list', { namespace: 'trip', reverse: true, limit: 1 })).toMatchObject({
      entries: [{ key: 'task/49' }],
    });
    for (const name of ['a', 'b', 'c']) await store.set('k', 1, name);
    const first = await call(mcp, 'namespaces', { limit: 2 });
    expect(first).toMatchObject({ namespaces: ['a', 'b'] });
    expect(await call(mcp, 'namespaces', { cursor: first.next })).toEqual({ namespaces: ['c', 'default', 'trip'] });
  });

  test('reads a long value in parts that add up to it', async () => {
    const { store } = await open();
    const mcp = await client(store, { maxBytes: 1_024 });
    const value = { text: '😀"é'.repeat(400) };
    await store.set('long', value);
    expect(await call(mcp, 'list', { values: true })).toMatchObject({
      entries: [{ key: 'long', preview: expect.any(String) }],
    });
    let text = '';
    for (let offset: unknown = 0; offset !== undefined; ) {
      const part = await call(mcp, 'get', { key: 'long', offset });
      expect(Buffer.byteLength(JSON.stringify(part.text))).toBeLessThanOrEqual(1_026);
      expect((part.text as string).isWellFormed()).toBe(true);
      text += part.text;
      offset = part.next;
    }
    expect(JSON.parse(text)).toEqual(value);
  });

  test('finds text in keys and values of all namespaces', async () => {
    const { store } = await open();
    const mcp = await client(store);
    await store.set('hotel', { name: 'Adler' }, 'trip');
    await store.set('notes', ['book the ADLER "today"'], 'todo');
    await store.set('adler', 7, 'birds');
    await store.set('other', 'nothing', 'birds');
    const { entries, scanned } = await call(mcp, 'search', { text: 'adler' });
    expect((entries as { namespace: string }[]).map(({ namespace }) => namespace)).toEqual(['birds', 'todo', 'trip']);
    expect(scanned).toBe(4);
    const first = await call(mcp, 'search', { text: 'adler', limit: 1 });
    expect(first).toMatchObject({ entries: [{ namespace: 'birds', key: 'adler' }] });
    const rest = await call(mcp, 'search', { text: 'adler', cursor: first.next });
    expect((rest.entries as { key: string }[]).map(({ key }) => key)).toEqual(['notes', 'hotel']);
    expect(await call(mcp, 'search', { text: '"today"', namespace: 'todo' })).toMatchObject({
      entries: [{ key: 'notes' }],
    });
  });

  test('shows who wrote what, and what has changed since a position', async () => {
    const { store } = await open();
    const mcp = await client(store);
    for (let n = 1; n <= 5; n += 1) await store.set('plan', n, 'trip', { agent: `agent-${n}` });
    await store.delete('plan', 'trip');
    const first = await call(mcp, 'history', { key: 'plan', namespace: 'trip', limit: 3 });
    expect(first).toMatchObject({
      versions: [{ operation: 'delete' }, { value: 5, agent: 'agent-5' }, { value: 4 }],
      next: 4,
    });
    const rest = await call(mcp, 'history', { key: 'plan', namespace: 'trip', before: first.next });
    expect((rest.versions as { value: number }[]).map(({ value }) => value)).toEqual([3, 2, 1]);
    await store.set('hotel', 'Adler', 'trip');
    const changed = await call(mcp, 'changes', { since: 5 });
    expect(changed).toMatchObject({
      changes: [
        { namespace: 'trip', key: 'plan', operation: 'delete' },
        { key: 'hotel', value: 'Adler' },
      ],
      ...{ next: 7, more: false },
    });
    expect(await call(mcp, 'changes', { since: 7 })).toEqual({ changes: [], next: 7, more: false });
  });

  test('shows each key as a resource, in pages, and tells subscribers of changes', async () => {
    const { store } = await open();
    const mcp = await client(store);
    const odd = ['plan', 'a/b', 'ä ?#%', '…,;:@&=+$!*()', "it's"];
    for (const key of odd) await store.set(key, { key }, 'tr/ip');
    const { resources } = await mcp.listResources();
    expect(resources.map(({ name }) => name).sort()).toEqual(odd.map((key) => `tr/ip/${key}`).sort());
    for (const { uri, name } of resources) {
      const [content] = (await mcp.readResource({ uri })).contents as { text: string }[];
      expect(JSON.parse(content?.text ?? '')).toEqual({ key: name.slice('tr/ip/'.length) });
    }
    await expect(mcp.readResource({ uri: 'context://tr%2Fip/none' })).rejects.toMatchObject({ code: -32602 });
    const changed: string[] = [];
    mcp.setNotificationHandler('notifications/resources/updated', ({ params }) => void changed.push(params.uri));
    await mcp.subscribeResource({ uri: 'context://tr%2Fip/plan' });
    await mcp.subscribeResource({ uri: 'context://todo' });
    await store.set('other', 1, 'tr/ip');
    await store.set('plan', 1, 'tr/ip');
    await store.set('new', 1, 'todo');
    await waitFor(() => expect(changed).toHaveLength(2));
    expect(changed).toEqual(['context://tr%2Fip/plan', 'context://todo']);
    await mcp.unsubscribeResource({ uri: 'context://todo' });
    await store.set('new', 2, 'todo');
    await store.clearNamespace('tr/ip');
    await waitFor(() => expect(changed).toHaveLength(3));
    expect(changed[2]).toBe('context://tr%2Fip/plan');
    await store.set('plan', 2, 'tr/ip');
    const { position } = await store.clearNamespace('tr/ip', { prefix: 'pl' });
    await waitFor(() => expect(changed).toHaveLength(5));
    expect(changed[4]).toBe('context://tr%2Fip/plan');
    expect((await call(mcp, 'changes', { since: position - 1, namespace: 'tr/ip' })).changes).toMatchObject([
      { operation: 'clear', key: null, value: ['plan'] },
    ]);
    // One that the cache refuses does not end those that follow.
    await expect(mcp.subscribeResource({ uri: `context://${'n'.repeat(2_000)}` })).rejects.toThrow();
    await mcp.subscribeResource({ uri: 'context://later' });
    await store.set('new', 1, 'later');
    await waitFor(() => expect(changed[5]).toBe('context://later'));
    await store.clearNamespace('later');
    await store.setMany(Object.fromEntries(Array.from({ length: 450 }, (_, i) => [`k${i}`, i])), 'many');
    const all = [];
    let cursor: string | undefined;
    do {
      const page = await mcp.request({ method: 'resources/list', params: { cursor } });
      all.push(...page.resources);
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    expect(new Set(all.map(({ uri }) => uri)).size).toBe(451);
  });

  test('completes namespaces and keys of resources', async () => {
    const { store } = await open();
    const mcp = await client(store);
    await store.set('plan', 1, 'trip');
    const ref = { type: 'ref/resource' as const, uri: 'context://{namespace}/{key}' };
    const names = await mcp.complete({ ref, argument: { name: 'namespace', value: 'tr' } });
    expect(names.completion.values).toEqual(['trip']);
    const context = { arguments: { namespace: 'trip' } };
    const keys = await mcp.complete({ ref, argument: { name: 'key', value: 'p' }, context });
    expect(keys.completion.values).toEqual(['plan']);
  });

  test('tells an agent what has changed since it looked last', async () => {
    const { store } = await open();
    const looks = async (mcp: Client, args: Record<string, string> = {}) => {
      const { messages } = await mcp.getPrompt({ name: 'what_changed', arguments: args });
      const [message] = messages;
      return (message as { content: { text: string } }).content.text;
    };
    await store.set('plan', 'first', 'trip');
    const mcp = await client(store);
    expect(await looks(mcp)).toContain('"first"');
    await store.set('plan', 'second', 'trip');
    // Also in the next session of the same agent.
    const again = await client(store);
    const text = await looks(again);
    expect(text).toContain('"second"');
    expect(text).not.toContain('"first"');
    expect(await looks(again)).toMatch(/Nothing has changed\.$/);
    expect(await looks(again, { since: '0', namespace: 'trip' })).toContain('"second"');
    await expect(looks(again, { since: 'yesterday' })).rejects.toMatchObject({ code: -32602 });
    const other = await client(store, {}, 'other');
    expect(await looks(other)).toContain('"second"');
  });
});

describe('createMcpServer', () => {
  test('refuses options that it does not know or cannot keep', async () => {
    const { store } = await remote();
    const cases: readonly (readonly [ContextStore, unknown, string])[] = [
      [undefined as never, {}, 'a cache first'],
      [memory(), { agnet: 'a' }, 'no option agnet'],
      [memory(), { agent: '' }, 'agent'],
      [memory(), { maxBytes: 10 }, 'maxBytes'],
      [memory(), { branches: 1 }, 'branches'],
      [memory(), { extend: {} }, 'extend'],
      [store, { branches: true }, 'only the process that has a cache open'],
    ];
    for (const [cache, options, message] of cases) {
      const expected = { code: 'INVALID_OPTION', message: expect.stringContaining(message) };
      await expect(createMcpServer(cache, options as McpOptions)).rejects.toMatchObject(expected);
    }
  });

  test('names itself with the version of the package', async () => {
    const { version } = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8'));
    const mcp = await client(memory());
    expect(mcp.getServerVersion()).toMatchObject({ name: 'agent-context-cache', version });
  });

  test('adds what extend registers', async () => {
    const extend: McpOptions['extend'] = (server) => {
      server.registerTool('shout', {}, () => ({
        content: [{ type: 'text', text: '{"a":1}' }],
        structuredContent: { a: 1 },
      }));
    };
    const mcp = await client(memory(), { extend });
    expect(await call(mcp, 'shout')).toEqual({ a: 1 });
  });
});
