import type { Command } from 'commander';
import { integer } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { CLOSE_MS, openOrConnect } from '../target.ts';

interface BriefingFlags {
  readonly agent: string;
  readonly since?: number;
  readonly only?: string[];
  readonly maxTokens: number;
  readonly peek: boolean;
}

/** `briefing`: prints what has changed for an agent. */
export function addBriefing(program: Command, session: Session): void {
  const briefing = program
    .command('briefing')
    .description("print what other agents have changed since an agent's last briefing, as text for a prompt")
    .requiredOption('-a, --agent <agent>', 'the agent to brief; its own writes are left out')
    .option('--only <namespace...>', 'only these namespaces, the most important first; "trip/*" stands for a prefix')
    .option('--since <position>', 'only changes after this position; default: after the last briefing', integer)
    .option('--max-tokens <count>', 'longest text, from 50 up; a token is counted as three bytes', integer, 2_000)
    .option('--peek', 'do not keep the end of this briefing as the start of the next one', false);
  example(
    briefing,
    'briefing --agent planner',
    "briefing --agent planner --only trip 'flight/*' --max-tokens 500",
    'briefing --agent planner --peek --json',
  );
  does<BriefingFlags>(session, briefing, runBriefing);
}

async function runBriefing({ output, dataDir, options }: Context<BriefingFlags>): Promise<undefined> {
  const { agent, since, only: namespaces, maxTokens, peek } = options;
  const cache = await openOrConnect({ dataDir, output });
  try {
    const found = await cache.briefing({ agent, since, namespaces, maxTokens, advance: !peek });
    if (output.json) await output.writeJson(found);
    else await output.write(`${found.text}\n`);
  } finally {
    await cache.shutdown({ timeoutMs: CLOSE_MS });
  }
}
