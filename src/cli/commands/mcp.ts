import { resolve } from 'node:path';
import type { Command } from 'commander';
import { AgentContextCache, type ContextStore } from '../../index.ts';
import { createMcpHttp, type McpOptions, serveMcp } from '../../mcp.ts';
import { integer } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { Serving } from '../serving.ts';
import { CLOSE_MS, subjectsFor } from '../target.ts';
import type { Output } from '../terminal/output.ts';
import { aborted, interruption } from '../terminal/signals.ts';

interface McpFlags {
  readonly agent?: string;
  readonly maxBytes: number;
  readonly branches: boolean;
}

/** `mcp`: serves the directory to the host that has started this process. */
export function addMcp(program: Command, session: Session): void {
  const mcp = program
    .command('mcp')
    .description(
      'serve the data directory to an MCP host over stdin and stdout; several hosts share it, and the first holds it open',
    )
    .option('-a, --agent <agent>', 'write as this agent (default: the name of the host)')
    .option('--max-bytes <bytes>', 'largest result of a tool; a longer one comes in pages', integer, 65_536)
    .option(
      '--branches',
      'add the tools fork, merge and discard; this process must be the one that holds the directory open',
      false,
    );
  example(mcp, 'mcp --data-dir ~/agent-memory', 'mcp --agent planner', 'mcp --branches');
  does<McpFlags>(session, mcp, runMcp);
}

async function runMcp({ output, dataDir, options }: Context<McpFlags>): Promise<undefined> {
  using interrupted = interruption();
  const { agent, maxBytes, branches } = options;
  const { memory, close } = await (branches ? held : shared)({ output, dataDir, maxBytes, signal: interrupted.signal });
  try {
    const connection = await serveMcp(memory, { agent, maxBytes, branches });
    output.message(`Serving ${resolve(dataDir)} to the MCP host on standard input and output.`);
    await Promise.race([connection.closed, aborted(interrupted.signal)]);
    await connection.close();
  } finally {
    await close();
  }
}

interface Reached {
  readonly memory: ContextStore;
  readonly close: () => Promise<unknown>;
}

interface Reaching {
  readonly output: Output;
  readonly dataDir: string;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** Broadcasts and snapshots are left to a process that serves the directory. */
const BARE = { natsUrl: null, backup: { enabled: false } } as const;

async function shared({ output, dataDir, maxBytes, signal }: Reaching): Promise<Reached> {
  const mcp = (cache: ContextStore) => createMcpHttp(cache, { maxBytes });
  const onError = (error: Error) => output.warning(error);
  const memory = await AgentContextCache.share(dataDir, {
    subjects: subjectsFor(output),
    ...BARE,
    signal,
    mcp,
    onError,
  });
  return { memory, close: () => memory.shutdown({ timeoutMs: CLOSE_MS }) };
}

/** Branches are in the process that holds the directory. Other hosts attach to it. */
async function held({ output, dataDir, maxBytes }: Reaching): Promise<Reached> {
  const mcp: McpOptions = { maxBytes, branches: true };
  const serving = await Serving.start({ dataDir, output, cache: BARE, mcp });
  return { memory: serving.cache, close: () => serving.close(CLOSE_MS) };
}
