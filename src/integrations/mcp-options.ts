import type { McpServer } from '@modelcontextprotocol/server';
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
   * Adds the tools `fork`, `merge` and `discard`, and the argument `branch` to the others. Branches are in memory, at most 16.
   * Needs an `AgentContextCache`. Default false.
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

const NAMES = ['agent', 'maxBytes', 'branches', 'extend'];

/**
 * Checks the options of an MCP server over a cache.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function checkedMcpOptions(cache: ContextStore, options: McpOptions): CheckedMcpOptions {
  if (typeof cache?.entry !== 'function') throw invalid('createMcpServer takes a cache first, then its options.');
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalid('createMcpServer takes its options as an object.');
  for (const name in options) {
    if (!NAMES.includes(name)) throw invalid(`createMcpServer has no option ${name}. It takes ${NAMES.join(', ')}.`);
  }
  const { agent, maxBytes = 65_536, branches = false, extend } = options;
  if (
    agent !== undefined &&
    (typeof agent !== 'string' || agent === '' || agent.length > 1_024 || !agent.isWellFormed())
  )
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
