import type { McpServer } from '@modelcontextprotocol/server';
import { optionNames } from '../core/options.ts';
import { isAgent } from '../core/origin.ts';
import { AgentContextCache, ContextCacheError, type ContextStore } from '../index.ts';

/** Options of an MCP server. */
export interface McpOptions {
  /**
   * Agent that everything is written by. Default: the name that the client gives itself when it connects, such as
   * `claude-ai`.
   */
  readonly agent?: string | undefined;
  /** Largest result of a tool in bytes of JSON; a longer one comes in pages or parts. Default 65,536, at least 1,024. */
  readonly maxBytes?: number | undefined;
  /**
   * Adds the tools `fork`, `merge` and `discard`, and the argument `branch` to the others. Branches are in memory, at most 16, of an
   * agent at most 4 if there are grants. Needs an `AgentContextCache`. Default false.
   */
  readonly branches?: boolean | undefined;
  /**
   * Called with each server before it is connected; registers further tools, resources and prompts. Over HTTP there is a
   * server for each session or request. Resources that it registers can be read; `resources/list` shows the cache's only.
   */
  readonly extend?: ((server: McpServer) => void) | undefined;
}

/** The options after the checks. */
export interface CheckedMcpOptions extends McpOptions {
  readonly maxBytes: number;
  readonly branches: boolean;
}

const NAMES = { agent: true, maxBytes: true, branches: true, extend: true } as const;

/** Names of {@link McpOptions} as the option `mcp` of `startServer`. */
export const MCP_OPTIONS = optionNames<McpOptions>('mcp', NAMES);

const SERVER_OPTIONS = optionNames<McpOptions>('createMcpServer', NAMES);

/**
 * Checks the options of an MCP server over a cache. `names`: what they are options of. Default: `createMcpServer`.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function checkedMcpOptions(cache: ContextStore, options: McpOptions, names = SERVER_OPTIONS): CheckedMcpOptions {
  if (typeof cache?.entry !== 'function') throw invalid('createMcpServer takes a cache first, then its options.');
  const { agent, maxBytes = 65_536, branches = false, extend } = names.checked(options);
  if (agent !== undefined && !isAgent(agent))
    throw invalid('agent must be a well-formed string of 1 to 1,024 characters.');
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1_024) throw invalid('maxBytes must be an integer from 1,024 up.');
  if (typeof branches !== 'boolean') throw invalid('branches must be true or false.');
  if (branches && !(cache instanceof AgentContextCache))
    throw invalid('branches needs an AgentContextCache: only the process that has a cache open can fork it.');
  if (extend !== undefined && typeof extend !== 'function') throw invalid('extend must be a function.');
  return { agent, maxBytes, branches, extend };
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
