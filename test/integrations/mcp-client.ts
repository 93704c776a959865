import { Client, InMemoryTransport } from '@modelcontextprotocol/client';
import { expect, onTestFinished } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache, type ContextStore } from '../../src/index.ts';
import { createMcpServer, type McpOptions } from '../../src/mcp.ts';
import { startServer } from '../../src/server.ts';

/** Returns a cache in memory that ends with the test. */
export function memory(): AgentContextCache {
  const cache = new AgentContextCache({ natsUrl: null });
  onTestFinished(async () => void (await cache.shutdown({ timeoutMs: 0 })));
  return cache;
}

/** Returns a cache, and a client of it. */
export async function remote(): Promise<{ cache: AgentContextCache; store: ContextStore }> {
  const cache = memory();
  const server = await startServer(cache);
  const store = await connect(server.url, { token: server.token });
  onTestFinished(async () => void (await store.shutdown({ timeoutMs: 0 })));
  return { cache, store };
}

/** Returns an MCP client of a server over a cache. */
export async function client(store: ContextStore, options?: McpOptions, name = 'planner'): Promise<Client> {
  const server = await createMcpServer(store, options);
  const mcp = new Client({ name, version: '1' });
  const [ours, theirs] = InMemoryTransport.createLinkedPair();
  await Promise.all([server.connect(theirs as never), mcp.connect(ours)]);
  onTestFinished(async () => void (await mcp.close()));
  return mcp;
}

interface Result {
  readonly isError?: boolean;
  readonly structuredContent?: unknown;
  readonly content: readonly { readonly text?: string }[];
}

/** Calls a tool. Returns its result, or rejects with the text of its refusal. */
export async function call(mcp: Client, name: string, args: object = {}): Promise<Record<string, unknown>> {
  const result = (await mcp.callTool({ name, arguments: args as Record<string, unknown> })) as Result;
  const text = result.content[0]?.text ?? '';
  if (result.isError) throw Object.assign(new Error(text), { text });
  expect(JSON.parse(text)).toEqual(result.structuredContent);
  return result.structuredContent as Record<string, unknown>;
}
