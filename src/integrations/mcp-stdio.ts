import type { JSONRPCMessage, McpServer } from '@modelcontextprotocol/server';
import type { ContextStore } from '../index.ts';
import { loadPackage, McpServers } from './mcp.ts';
import { clientIn, isDenied, memoryOf } from './mcp-access.ts';
import type { McpOptions } from './mcp-options.ts';
import { Readings } from './mcp-readings.ts';
import { WatchedResources } from './mcp-resources.ts';

/** A running connection of {@link serveMcp}. */
export interface McpConnection extends AsyncDisposable {
  /** Resolves when the host has closed the connection, or {@link close} was called. */
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

/**
 * Serves a cache to the MCP host that has started this process, over stdin and stdout; nothing else may write to stdout. The
 * host chooses the revision of the protocol: 2026-07-28 or one of 2025. The cache stays open when the connection ends.
 *
 * @throws {ContextCacheError} (as a rejection) those of `createMcpServer`.
 *
 * @example
 * ```ts
 * await using memory = await AgentContextCache.share('./agent-memory');
 * await (await serveMcp(memory)).closed;
 * ```
 */
export async function serveMcp(cache: ContextStore, options: McpOptions = {}): Promise<McpConnection> {
  const servers = await McpServers.over(cache, options);
  const { serveStdio, StdioServerTransport } = await loadPackage(
    '@modelcontextprotocol/server',
    () => import('@modelcontextprotocol/server/stdio'),
  );
  const transport = new StdioServerTransport();
  let server: McpServer | undefined;
  let { agent } = options;
  const watched = new WatchedResources(
    () => memoryOf(cache, agent),
    (uri) => void server?.server.sendResourceUpdated({ uri }).catch(() => {}),
  );
  const readings = new Readings();
  const handle = serveStdio(
    () => {
      server = servers.create(undefined, readings);
      return server;
    },
    { transport },
  );
  hearOfSubscriptions(transport, watched, (message) => {
    agent = options.agent ?? clientOf(message);
  });
  const { onclose } = transport;
  const closed = new Promise<void>((resolve) => {
    transport.onclose = () => {
      watched.close();
      onclose?.();
      resolve();
    };
  });
  const close = () => handle.close();
  return { closed, close, [Symbol.asyncDispose]: close };
}

/**
 * Watches the resources that the client names in a `subscriptions/listen`. The SDK answers such a request by itself and
 * passes notifications on, but does not report which resources they are about.
 */
function hearOfSubscriptions(
  transport: { onmessage?: ((message: JSONRPCMessage) => void) | undefined },
  watched: WatchedResources,
  before: (message: JSONRPCMessage) => void,
): void {
  const heard = new Map<unknown, readonly string[]>();
  const { onmessage } = transport;
  transport.onmessage = (message) => {
    const uris = resourcesOf(message);
    if (uris.length > 0 && 'id' in message) {
      heard.set(message.id, uris);
      before(message);
      // The answer of the SDK cannot be changed; a resource that the agent may not read is never reported.
      for (const uri of uris) addUnlessDenied(watched, uri);
    }
    if ('method' in message && message.method === 'notifications/cancelled') {
      const { requestId: id } = message.params ?? {};
      for (const uri of heard.get(id) ?? []) watched.remove(uri);
      heard.delete(id);
    }
    onmessage?.(message);
  };
}

/** Watches a resource, unless its agent may no longer read it. */
export function addUnlessDenied(watched: WatchedResources, uri: string): void {
  try {
    watched.add(uri);
  } catch (error) {
    if (!isDenied(error)) throw error;
  }
}

/** Returns the URIs that a `subscriptions/listen` names; none for any other message. */
export function resourcesOf(message: unknown): readonly string[] {
  const { method, params } = (message ?? {}) as { method?: unknown; params?: { notifications?: unknown } };
  if (method !== 'subscriptions/listen') return [];
  const { resourceSubscriptions } = (params?.notifications ?? {}) as { resourceSubscriptions?: unknown };
  if (!Array.isArray(resourceSubscriptions)) return [];
  return resourceSubscriptions.filter((uri) => typeof uri === 'string');
}

/** Returns the name that the client gives itself in a request of the specification of 2026. */
export function clientOf(message: unknown): string | undefined {
  const { params } = (message ?? {}) as { readonly params?: { readonly _meta?: unknown } };
  return clientIn(params?._meta);
}
