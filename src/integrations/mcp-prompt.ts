import type { McpServer, ServerContext } from '@modelcontextprotocol/server';
import { ContextCacheError, type ContextStore } from '../index.ts';
import { type Arguments, TOOLS } from './mcp-tools.ts';

type Sdk = typeof import('@modelcontextprotocol/server');

/** Namespace in which the server keeps the position up to which each agent has looked. */
const LOOKED = 'mcp/looked';

/** The parts of {@link registerPrompt}. */
interface PromptParts {
  readonly server: McpServer;
  readonly sdk: Sdk;
  readonly cache: ContextStore;
  readonly maxBytes: number;
  readonly writer: (context: ServerContext) => string | undefined;
}

/** Registers the prompt that lists what has changed since the client's agent looked last. */
export function registerPrompt({ server, sdk, cache, maxBytes, writer }: PromptParts): void {
  const argsSchema = sdk.fromJsonSchema<{ readonly namespace?: string; readonly since?: string }>({
    type: 'object',
    properties: {
      namespace: { type: 'string', description: 'Only this namespace. Default: all.' },
      since: { type: 'string', description: 'Position to start from. Default: the one at which you looked last.' },
    },
    additionalProperties: false,
  });
  const title = 'What has changed since I last looked?';
  const description = 'Lists the changes to the shared memory since this prompt was used last.';
  server.registerPrompt('what_changed', { title, description, argsSchema }, ({ namespace, since }, context) =>
    refusing(sdk, async () => {
      const agent = writer(context) ?? 'unknown';
      const key = namespace === undefined ? agent : JSON.stringify([agent, namespace]);
      const from = Number(since ?? (await cache.get(key, LOOKED)) ?? 0);
      const found = await look(cache, from, namespace, maxBytes);
      await cache.set(key, found.next, LOOKED, { agent });
      const of =
        namespace === undefined ? 'the shared memory' : `namespace ${JSON.stringify(namespace)} of the shared memory`;
      const text = found.changes === undefined ? lost(of, from) : listed(of, from, found, found.changes);
      return { messages: [{ role: 'user', content: { type: 'text', text } }] };
    }),
  );
}

function listed(of: string, from: number, { more, next }: Found, changes: readonly object[]): string {
  const intro = `These are the changes to ${of} since position ${from}, as JSON. Summarize what is new and what it means for our work.`;
  const rest = more ? ` There are more: call the tool "changes" with since = ${next}.` : '';
  return `${intro}${rest}\n\n${JSON.stringify(changes)}`;
}

function lost(of: string, from: number): string {
  return `The changes to ${of} since position ${from} are no longer all kept. Read it with the tools "namespaces", "list" and "get", and summarize what matters for our work.`;
}

interface Found {
  /** `undefined`: the log no longer holds all of them. */
  readonly changes: readonly { readonly namespace: string }[] | undefined;
  readonly next: number;
  readonly more: boolean;
}

/** Reads the changes since a position, without the records of this prompt. */
async function look(
  cache: ContextStore,
  since: number,
  namespace: string | undefined,
  maxBytes: number,
): Promise<Found> {
  const args = { since, namespace } as Arguments;
  try {
    const { changes, ...rest } = (await TOOLS.changes.run({ cache, args, agent: undefined, maxBytes })) as Found;
    return { ...rest, changes: changes?.filter((change) => change.namespace !== LOOKED) };
  } catch (error) {
    if (!(error instanceof ContextCacheError) || error.code !== 'POSITION_UNAVAILABLE') throw error;
    return { changes: undefined, next: cache.position, more: false };
  }
}

/** Runs a handler. An error of the cache becomes one of the protocol, with the error of the cache as its cause. */
export async function refusing<Result>(sdk: Sdk, run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof ContextCacheError)) throw error;
    const refusal = new sdk.ProtocolError(sdk.ProtocolErrorCode.InvalidParams, error.message, { code: error.code });
    refusal.cause = error;
    throw refusal;
  }
}
