import { resolve } from 'node:path';
import type { Command } from 'commander';
import { AgentContextCache } from '../../index.ts';
import { serveMcp } from '../../mcp.ts';
import { integer } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { CLOSE_MS } from '../target.ts';
import { aborted, interruption } from '../terminal/signals.ts';

interface McpFlags {
  readonly agent?: string;
  readonly maxBytes: number;
}

/** `mcp`: serves the directory to the host that has started this process. */
export function addMcp(program: Command, session: Session): void {
  const mcp = program
    .command('mcp')
    .description(
      'serve the data directory to an MCP host over stdin and stdout; several hosts share it, and the first holds it open',
    )
    .option('-a, --agent <agent>', 'write as this agent (default: the name of the host)')
    .option('--max-bytes <bytes>', 'largest result of a tool; a longer one comes in pages', integer, 65_536);
  example(mcp, 'mcp --data-dir ~/agent-memory', 'mcp --agent planner');
  does<McpFlags>(session, mcp, runMcp);
}

async function runMcp({ output, dataDir, options }: Context<McpFlags>): Promise<undefined> {
  using interrupted = interruption();
  const { agent, maxBytes } = options;
  const memory = await AgentContextCache.share(dataDir, {
    // Broadcasts and snapshots are left to a process that serves the directory.
    natsUrl: null,
    backup: { enabled: false },
    signal: interrupted.signal,
    onError: (error) => output.warning(error),
  });
  try {
    const connection = await serveMcp(memory, { agent, maxBytes });
    output.message(`Serving ${resolve(dataDir)} to the MCP host on standard input and output.`);
    await Promise.race([connection.closed, aborted(interrupted.signal)]);
    await connection.close();
  } finally {
    await memory.shutdown({ timeoutMs: CLOSE_MS });
  }
}
