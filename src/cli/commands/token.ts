import type { Command } from 'commander';
import { ContextCacheError, systemClock } from '../../index.ts';
import { createAgentToken, readAgentTokens, revokeAgentToken } from '../../wire/agent-tokens.ts';
import { CliOption } from '../config/cli-option.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { mustExist } from '../target.ts';
import { UsageError } from '../terminal/failure.ts';

interface TokenFlags {
  readonly agent?: string;
  readonly revoke?: boolean;
}

/** `token`: the tokens of agents. */
export function addToken(program: Command, session: Session): void {
  const agent = new CliOption('--agent <name>', 'create a token for this agent; it replaces an earlier one');
  const revoke = new CliOption('--revoke', 'remove the token of the agent instead');
  agent.inFile = 'never';
  revoke.inFile = 'never';
  const token = program
    .command('token')
    .description(
      'create a token with which a client writes under the name of one agent, or list the agents that have one',
    )
    .addOption(agent)
    .addOption(revoke);
  example(token, 'token --agent planner', 'token', 'token --agent planner --revoke');
  does<TokenFlags>(session, token, runToken);
}

async function runToken({ output, dataDir, options: { agent, revoke } }: Context<TokenFlags>): Promise<undefined> {
  await mustExist(dataDir);
  if (agent === undefined) {
    if (revoke === true) throw new UsageError('--revoke needs the agent whose token to remove: add --agent NAME.');
    for (const { agent, createdAt } of readAgentTokens(dataDir)) {
      await output.result({ agent, createdAt }, `${agent}  ${new Date(createdAt).toISOString()}`);
    }
    return;
  }
  if (agent === '' || agent.length > 1_024) throw new UsageError('--agent takes a name of 1 to 1,024 characters.');
  if (revoke !== true) {
    const token = await createAgentToken(dataDir, agent, systemClock.now());
    await output.result({ agent, token }, token);
    output.message('Keep it: the directory holds only a hash of it. It is valid at once, also for a running server.');
    return;
  }
  if (!(await revokeAgentToken(dataDir, agent))) {
    const remedy = 'Run "context-cache token" for the agents that have one.';
    throw new ContextCacheError('NOT_FOUND', `Agent ${JSON.stringify(agent)} has no token. ${remedy}`);
  }
  await output.result({ agent, revoked: true }, `The token of ${agent} is revoked.`);
}
