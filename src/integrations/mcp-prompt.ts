import type { McpServer, ServerContext } from '@modelcontextprotocol/server';
import { ContextCacheError, type ContextStore } from '../index.ts';
import { memoryOf } from './mcp-access.ts';
import { NO_NOTES, type Readings } from './mcp-readings.ts';
import { tokensIn } from './mcp-tools.ts';

type Sdk = typeof import('@modelcontextprotocol/server');

/** The parts of {@link registerPrompt}. */
interface PromptParts {
  readonly server: McpServer;
  readonly sdk: Sdk;
  readonly cache: ContextStore;
  readonly maxBytes: number;
  readonly writer: (context: ServerContext) => string | undefined;
  readonly readings: Readings | undefined;
}

/** Registers the prompt that lists what has changed since the client's agent looked last. */
export function registerPrompt({ server, sdk, cache, maxBytes, writer, readings }: PromptParts): void {
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
      const agent = writer(context);
      const briefing = await memoryOf(cache, agent).briefing({
        agent: agent ?? 'unknown',
        namespaces: namespace === undefined ? undefined : [namespace],
        ...(since !== undefined && { since: Number(since) }),
        maxTokens: tokensIn(maxBytes),
      });
      const { text: changes, until } = briefing;
      (readings?.of(cache, agent) ?? NO_NOTES).shown(...briefing.changes);
      const of =
        namespace === undefined ? 'the shared memory' : `namespace ${JSON.stringify(namespace)} of the shared memory`;
      const text = `These are the changes to ${of} up to position ${until}. Summarize what is new and what it means for our work.\n\n${changes}`;
      return { messages: [{ role: 'user', content: { type: 'text', text } }] };
    }),
  );
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
