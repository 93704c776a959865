import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { NodeIncomingMessageLike, NodeStreamableHTTPServerTransport } from '@modelcontextprotocol/node';
import type { EventStore, McpServer, ServerEvent, ServerEventBus } from '@modelcontextprotocol/server';
import { ContextCacheError, type ContextStore } from '../index.ts';
import { loadPackage, McpServers } from './mcp.ts';
import { isDenied, memoryOf, mustHear } from './mcp-access.ts';
import type { McpOptions } from './mcp-options.ts';
import { Readings } from './mcp-readings.ts';
import { WatchedResources } from './mcp-resources.ts';
import { addUnlessDenied, clientOf, resourcesOf } from './mcp-stdio.ts';

/** Bytes of a request's body. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** Sessions of clients of 2025. The one that was used longest ago ends for a new one. */
const MAX_SESSIONS = 256;
/** Messages that a session keeps for a client that has lost its connection. */
const MAX_EVENTS = 256;

/** Time after which a client whose stream has ended connects again, milliseconds. */
const RETRY_MS = 500;

/** Answers MCP requests by Streamable HTTP. */
export interface McpHttp {
  /** Answers a request. `agent` is the one that its token stands for; `null`: none. */
  answer(request: IncomingMessage, response: ServerResponse, agent: string | null): Promise<void>;
  /** Ends all sessions and streams. */
  close(): Promise<void>;
}

interface Session {
  readonly server: McpServer;
  readonly transport: NodeStreamableHTTPServerTransport;
  readonly agent: string | null;
}

/**
 * Creates the answers to MCP requests by Streamable HTTP, for a server of your own; `startServer` has them at `/mcp`. Checks
 * neither token nor Host nor Origin. A request of the specification of 2026 is answered by itself; clients of 2025 have
 * sessions, in which the server can send them notifications.
 *
 * @throws {ContextCacheError} (as a rejection) those of `createMcpServer`; `NOT_FOUND` if `@modelcontextprotocol/node` is not
 *   installed.
 */
export async function createMcpHttp(cache: ContextStore, options: McpOptions = {}): Promise<McpHttp> {
  const servers = await McpServers.over(cache, options);
  const node = await loadPackage('@modelcontextprotocol/node', () => import('@modelcontextprotocol/node'));
  const { createMcpHandler, InMemoryServerEventBus, isLegacyRequest } = servers.sdk;
  const subscriptions = new Subscriptions(new InMemoryServerEventBus());
  const modern = createMcpHandler(({ authInfo }) => servers.create(authInfo?.clientId), {
    ...{ legacy: 'reject', bus: subscriptions },
  });
  const answerModern = node.toNodeHandler(modern);
  const sessions = new Sessions(servers, node);

  const answer = async (request: IncomingMessage, response: ServerResponse, agent: string | null): Promise<void> => {
    const body = request.method === 'POST' ? await readBody(request) : undefined;
    if (typeof body === 'string') return fail(response, body === '' ? 400 : 413, body || 'The body is no JSON.');
    if (await isLegacyRequest(await node.toWebRequest(request as NodeIncomingMessageLike, body), body))
      return sessions.answer(request, response, agent, body);
    const uris = resourcesOf(body);
    const memory = memoryOf(cache, agent ?? options.agent ?? clientOf(body));
    try {
      for (const uri of uris) await mustHear(memory, uri);
    } catch (error) {
      if (!(error instanceof ContextCacheError)) throw error;
      return fail(response, isDenied(error) ? 403 : 400, error.message);
    }
    const auth = agent === null ? undefined : { token: '', clientId: agent, scopes: [] };
    await subscriptions.of({ memory, uris }, () =>
      answerModern(Object.assign(request, { auth }) as NodeIncomingMessageLike, response, body),
    );
  };
  const close = async () => {
    await Promise.all([modern.close(), sessions.close()]);
  };
  return { answer, close };
}

/** A request that names resources to hear of. */
interface Subscription {
  /** The cache as the agent of the request may use it. */
  readonly memory: ContextStore;
  readonly uris: readonly string[];
}

/**
 * The events for the open streams of clients of 2026. The SDK's own bus tells each stream of every resource that it has named,
 * so each stream watches its resources with the rights of its agent, as they are at the time of the change.
 */
class Subscriptions implements ServerEventBus {
  readonly #all: ServerEventBus;
  readonly #request = new AsyncLocalStorage<Subscription>();

  constructor(all: ServerEventBus) {
    this.#all = all;
  }

  /** Answers a request. A stream that is opened meanwhile is that of the request. */
  of<Result>(request: Subscription, answer: () => Result): Result {
    return this.#request.run(request, answer);
  }

  publish(event: ServerEvent): void {
    this.#all.publish(event);
  }

  subscribe(listener: (event: ServerEvent) => void): () => void {
    const leave = this.#all.subscribe(listener);
    const { memory, uris } = this.#request.getStore() ?? { memory: undefined, uris: [] };
    if (memory === undefined || uris.length === 0) return leave;
    const watched = new WatchedResources(
      () => memory,
      (uri) => listener({ kind: 'resource_updated', uri }),
    );
    for (const uri of uris) addUnlessDenied(watched, uri);
    return () => {
      leave();
      watched.close();
    };
  }
}

/** The sessions of clients of 2025, by id. */
class Sessions {
  readonly #servers: McpServers;
  readonly #node: typeof import('@modelcontextprotocol/node');
  readonly #sessions = new Map<string, Session>();

  constructor(servers: McpServers, node: typeof import('@modelcontextprotocol/node')) {
    this.#servers = servers;
    this.#node = node;
  }

  async answer(request: IncomingMessage, response: ServerResponse, agent: string | null, body: unknown): Promise<void> {
    const id = request.headers['mcp-session-id'];
    const known = typeof id === 'string' ? this.#sessions.get(id) : undefined;
    // A session is its agent's: with the token of another one it is not found.
    const found = known?.agent === agent ? known : undefined;
    if (found !== undefined && typeof id === 'string') {
      // The last one used is the last in the map.
      this.#sessions.delete(id);
      this.#sessions.set(id, found);
    } else if (id !== undefined) return fail(response, 404, 'There is no such session. Start with initialize.');
    const { transport } = found ?? (await this.#begin(agent));
    await transport.handleRequest(request, response, body);
  }

  async #begin(agent: string | null): Promise<Session> {
    const transport = new this.#node.NodeStreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      eventStore: new Events(),
      retryInterval: RETRY_MS,
      onsessioninitialized: async (id) => {
        this.#sessions.set(id, session);
        const [oldest] = this.#sessions;
        if (this.#sessions.size > MAX_SESSIONS && oldest !== undefined) await this.#end(oldest[0]);
      },
      onsessionclosed: (id) => this.#end(id),
    });
    const server = this.#servers.create(agent ?? undefined, new Readings());
    const session = { server, transport, agent };
    await session.server.connect(transport);
    return session;
  }

  async #end(id: string): Promise<void> {
    const session = this.#sessions.get(id);
    this.#sessions.delete(id);
    await session?.server.close();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sessions.keys()].map((id) => this.#end(id)));
  }
}

type Message = Parameters<EventStore['storeEvent']>[1];

/** The last messages of a session. A client that connects again gets those that it has missed. */
class Events implements EventStore {
  readonly #events = new Map<string, { readonly stream: string; readonly message: Message }>();
  #last = 0;

  async storeEvent(stream: string, message: Message): Promise<string> {
    this.#last += 1;
    const id = String(this.#last);
    this.#events.set(id, { stream, message });
    this.#events.delete(String(this.#last - MAX_EVENTS));
    return id;
  }

  async getStreamIdForEventId(id: string): Promise<string | undefined> {
    return this.#events.get(id)?.stream;
  }

  async replayEventsAfter(
    id: string,
    { send }: { readonly send: (id: string, message: Message) => Promise<void> },
  ): Promise<string> {
    const stream = this.#events.get(id)?.stream ?? '';
    for (const [each, event] of this.#events) {
      const isMissed = event.stream === stream && Number(each) > Number(id);
      // A message without content only starts a stream.
      if (isMissed && Object.keys(event.message).length > 0) await send(each, event.message);
    }
    return stream;
  }
}

/** Reads the body as JSON; returns the reason as a text, empty for a body that is no JSON, if it cannot be read. */
async function readBody(request: IncomingMessage): Promise<object | string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request.iterator({ destroyOnReturn: false })) {
    bytes += piece.length;
    if (bytes > MAX_BODY_BYTES) return `The body is longer than ${MAX_BODY_BYTES} bytes.`;
    pieces.push(piece);
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(pieces).toString());
    return typeof body === 'object' && body !== null ? body : '';
  } catch {
    return '';
  }
}

function fail(response: ServerResponse, status: number, message: string): void {
  const error = { code: status === 400 ? -32_700 : -32_000, message };
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', error, id: null }));
}
