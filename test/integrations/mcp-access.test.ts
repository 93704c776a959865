import { describe, expect, test } from 'vitest';
import type { AgentContextCache, ContextStore } from '../../src/index.ts';
import { waitFor } from '../support/cli.ts';
import { client, memory, remote } from './mcp-client.ts';

describe.each([
  ['a local cache', async () => ({ store: memory() as ContextStore })],
  ['a remote cache', remote],
])('an MCP server over %s', (_, open) => {
  test('tells a client nothing that its name has no grant for, in no answer and no notification', async () => {
    const { store } = await open();
    await store.set('k', 1, 'secret');
    await store.set('k', 1, 'open');
    await (store as AgentContextCache).setGrants([{ agent: 'scribe', read: ['open'] }]);
    const mcp = await client(store, {}, 'scribe');
    const changed: string[] = [];
    mcp.setNotificationHandler('notifications/resources/updated', ({ params }) => void changed.push(params.uri));
    for (const uri of ['context://secret', 'context://secret/k']) {
      await expect(mcp.subscribeResource({ uri })).rejects.toThrow('scribe');
    }
    await mcp.subscribeResource({ uri: 'context://open/k' });
    const ref = { type: 'ref/resource', uri: 'context://{namespace}/{key}' } as const;
    const completed = async (name: string, namespace?: string) => {
      const context = namespace === undefined ? undefined : { arguments: { namespace } };
      return mcp.complete({ ref, argument: { name, value: '' }, context }).catch(({ message }: Error) => message);
    };
    expect(await completed('namespace')).toMatchObject({ completion: { values: ['open'] } });
    expect(await completed('key', 'secret')).toContain('scribe');
    expect((await mcp.listResources()).resources.map(({ name }) => name)).toEqual(['open/k']);
    await store.set('k', 2, 'secret');
    await store.set('k', 2, 'open');
    await waitFor(() => expect(changed).toEqual(['context://open/k']));
  });
});
