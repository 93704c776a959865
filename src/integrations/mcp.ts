import { createRequire } from 'node:module';
import type { CallToolResult, McpServer, ServerContext } from '@modelcontextprotocol/server';
import { ContextCacheError, type ContextStore, VersionConflictError } from '../index.ts';
import { clientIn, memoryOf, mustHear, nameIn } from './mcp-access.ts';
import { BRANCH_TOOLS, branchOf } from './mcp-branches.ts';
import { type CheckedMcpOptions, checkedMcpOptions, type McpOptions } from './mcp-options.ts';
import { about, shown } from './mcp-pages.ts';
import { refusing, registerPrompt } from './mcp-prompt.ts';
import { NO_NOTES, type Notes, Readings } from './mcp-readings.ts';
import { listResources, readResource, targetOf, WatchedResources } from './mcp-resources.ts';
import { inputSchema, OUTPUTS, type Schema } from './mcp-schemas.ts';
import { type Arguments, TOOLS, type Tool } from './mcp-tools.ts';

type Sdk = typeof import('@modelcontextprotocol/server');
type Standard = ReturnType<Sdk['fromJsonSchema']>;
/** Name of a tool. */
type ToolName = keyof typeof OUTPUTS;

const { version } = createRequire(import.meta.url)('agent-context-cache/package.json') as { readonly version: string };

const INSTRUCTIONS =
  'A memory that agents share: namespaces hold keys, keys hold JSON values. Read before you write; pass ifVersion to replace a value only if no other agent has changed it since, or use update to change single properties. changes lists what is new since a position.';

/**
 * Creates an MCP server over a cache, which may be local, shared or remote: tools to read, write, search and follow the
 * memory, each key as a resource, and a prompt that lists what has changed. Connect it to any transport of
 * `@modelcontextprotocol/server`; `serveMcp` connects it to stdio, and `startServer` serves it at `/mcp`.
 *
 * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`; `NOT_FOUND` if `@modelcontextprotocol/server` is not
 *   installed.
 *
 * @example
 * ```ts
 * const server = await createMcpServer(cache, { agent: 'planner' });
 * await server.connect(new StdioServerTransport());
 * ```
 */
export async function createMcpServer(cache: ContextStore, options: McpOptions = {}): Promise<McpServer> {
  return (await McpServers.over(cache, options)).create(undefined, new Readings());
}

/** Loads a package of the protocol's SDK. */
export async function loadPackage<Module>(name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    const message = `MCP needs the package ${name}. Install it: npm install @modelcontextprotocol/server @modelcontextprotocol/node`;
    throw new ContextCacheError('NOT_FOUND', message, { cause });
  }
}

/** The clients of a server. */
interface Clients {
  /** Returns the agent of a request. */
  readonly writer: (context?: ServerContext) => string | undefined;
  readonly readings: Readings | undefined;
}

/** Creates the MCP servers of a cache: one for a connection, a session or a request. They share what is made once. */
export class McpServers {
  readonly cache: ContextStore;
  readonly sdk: Sdk;
  readonly #options: CheckedMcpOptions;
  readonly #tools: readonly (readonly [name: ToolName, tool: Tool, input: Standard, output: Standard])[];

  private constructor(cache: ContextStore, sdk: Sdk, options: CheckedMcpOptions) {
    this.cache = cache;
    this.sdk = sdk;
    this.#options = options;
    const tools: readonly (readonly [string, Tool])[] = Object.entries(
      options.branches ? { ...TOOLS, ...BRANCH_TOOLS } : TOOLS,
    );
    const standard = (schema: Schema) => sdk.fromJsonSchema(schema);
    this.#tools = tools.map(([name, tool]) => {
      const takesBranch = options.branches && !Object.hasOwn(BRANCH_TOOLS, name);
      const input = inputSchema(tool.required, takesBranch ? [...tool.optional, 'branch'] : tool.optional);
      return [name as ToolName, tool, standard(input), standard(OUTPUTS[name as ToolName])] as const;
    });
  }

  /** Checks the options and loads the SDK. Throws as {@link createMcpServer}. */
  static async over(cache: ContextStore, options: McpOptions): Promise<McpServers> {
    const checked = checkedMcpOptions(cache, options);
    const name = '@modelcontextprotocol/server';
    return new McpServers(cache, await loadPackage(name, () => import('@modelcontextprotocol/server')), checked);
  }

  /**
   * Creates a server. `agent` is the one that the client's token stands for. `readings` remembers what its clients are shown; without it
   * nothing is remembered.
   */
  create(agent?: string, readings?: Readings): McpServer {
    const capabilities = {
      tools: { listChanged: false },
      prompts: { listChanged: false },
      resources: { listChanged: false, subscribe: true },
    };
    const title = 'Agent Context Cache';
    const info = { name: 'agent-context-cache', title, version };
    const server = new this.sdk.McpServer(info, { capabilities, instructions: INSTRUCTIONS });
    const writer = (context?: ServerContext) => agent ?? this.#options.agent ?? clientName(server, context);
    for (const [name, tool, input, output] of this.#tools)
      this.#register(server, name, tool, { input, output }, { writer, readings });
    this.#registerResources(server, { writer, readings });
    registerPrompt({ server, sdk: this.sdk, cache: this.cache, maxBytes: this.#options.maxBytes, writer, readings });
    this.#options.extend?.(server);
    return server;
  }

  #register(
    server: McpServer,
    name: ToolName,
    { title, description, effect, isIdempotent, run }: Tool,
    { input, output }: { readonly input: Standard; readonly output: Standard },
    { writer, readings }: Clients,
  ): void {
    const annotations = {
      ...{ title, readOnlyHint: effect === 'read', destructiveHint: effect === 'write' },
      ...{ idempotentHint: isIdempotent, openWorldHint: false },
    };
    const config = { title, description, annotations, inputSchema: input, outputSchema: output };
    const { maxBytes } = this.#options;
    server.registerTool(name, config, async (given, context) => {
      const args = given as Arguments;
      let notes = NO_NOTES;
      try {
        const agent = writer(context);
        const isOfBranches = Object.hasOwn(BRANCH_TOOLS, name);
        const memory = isOfBranches ? this.cache : branchOf(this.cache, args.branch);
        notes = readings?.of(memory, agent) ?? NO_NOTES;
        const cache = isOfBranches ? memory : memoryOf(memory, agent);
        const result = (await run({ cache, notes, args, agent, maxBytes })) as Record<string, unknown>;
        return { structuredContent: result, content: [{ type: 'text', text: JSON.stringify(result) }] };
      } catch (error) {
        return refused(error, maxBytes, notes);
      }
    });
  }

  #registerResources(server: McpServer, { writer, readings }: Clients): void {
    const { cache: whole, sdk } = this;
    const mayRead = (context?: ServerContext) => memoryOf(whole, writer(context));
    const read = (url: URL, context: ServerContext) =>
      refusing(sdk, async () => {
        const agent = writer(context);
        const notes = readings?.of(whole, agent) ?? NO_NOTES;
        const found = await readResource(memoryOf(whole, agent), url.href, notes);
        if (found === undefined) throw new sdk.ResourceNotFoundError(url.href);
        return found;
      });
    const names = async (prefix: string) =>
      [...(await mayRead().listNamespaces({ prefix, limit: 100 }))].map(encodeURIComponent);
    const keys = async (prefix: string, context?: { arguments?: { namespace?: string } }) => {
      const target = targetOf(`context://${context?.arguments?.namespace ?? 'default'}`);
      return target === undefined
        ? []
        : [...(await mayRead().listKeys(target.namespace, { prefix, limit: 100 }))].map(encodeURIComponent);
    };
    const entry = new sdk.ResourceTemplate('context://{namespace}/{key}', {
      list: undefined,
      complete: { namespace: names, key: keys },
    });
    const mimeType = 'application/json';
    server.registerResource('entry', entry, { title: 'Value of a key', mimeType }, (url, _, context) =>
      read(url, context),
    );
    const namespace = new sdk.ResourceTemplate('context://{namespace}', {
      list: undefined,
      complete: { namespace: names },
    });
    server.registerResource('namespace', namespace, { title: 'Keys of a namespace', mimeType }, (url, _, context) =>
      read(url, context),
    );
    server.server.setRequestHandler('resources/list', ({ params }, context) =>
      refusing(sdk, () => listResources(mayRead(context), params?.cursor)),
    );
    const watched = new WatchedResources(
      () => mayRead(),
      (uri) => void server.server.sendResourceUpdated({ uri }).catch(() => {}),
    );
    server.server.setRequestHandler('resources/subscribe', ({ params }, context) =>
      refusing(sdk, async () => {
        await mustHear(mayRead(context), params.uri);
        watched.add(params.uri);
        return {};
      }),
    );
    server.server.setRequestHandler('resources/unsubscribe', ({ params }) => {
      watched.remove(params.uri);
      return {};
    });
    server.server.onclose = () => watched.close();
  }
}

/**
 * Returns the name that a client gives itself: with each request, or, in the specification of 2025, at the start. Without a
 * context, which the SDK does not give to completions, the one that the client gave last.
 */
function clientName(server: McpServer, context: ServerContext | undefined): string | undefined {
  return clientIn(context?.mcpReq.envelope) ?? nameIn(server.server.getClientVersion());
}

/** Returns the result for an error of the cache, from which a model can see what to do. */
function refused(error: unknown, maxBytes: number, notes: Notes): CallToolResult {
  if (!(error instanceof ContextCacheError)) throw error;
  const { code, message } = error;
  const current = error instanceof VersionConflictError ? error.current : undefined;
  if (current !== undefined) notes.shown(current);
  const more = current === undefined ? {} : { current: { ...about(current), ...shown(current.value, maxBytes) } };
  return { isError: true, content: [{ type: 'text', text: JSON.stringify({ error: { code, message, ...more } }) }] };
}
