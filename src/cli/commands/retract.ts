import { type Command, Option } from 'commander';
import type { RetractOptions, RetractReport } from '../../types.ts';
import { agentOption, integer, operationIdOption } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { shownAmount, shownName } from '../terminal/format.ts';

/** `retract`: takes a write back. */
export function addRetract(program: Command, session: Session): void {
  const retract = program
    .command('retract')
    .description('take a write back: its entry becomes what it was before; what was written later stays and is listed')
    .argument('<position>', 'position of the write', integer)
    .addOption(
      new Option(
        '--cascade <mode>',
        'later writes that are based on it: leave them, mark them as stale, or restore them',
      )
        .choices(['none', 'mark', 'restore'])
        .default('none'),
    )
    .option('--reason <text>', 'why; shown to every reader')
    .option('--dry-run', 'print what would be written, and write nothing')
    .addOption(operationIdOption())
    .addOption(agentOption('agent that takes it back'));
  example(retract, 'retract 3 --reason "misread sign"', 'retract 3 --cascade restore --dry-run --json');
  does<RetractOptions>(session, retract, runRetract);
}

async function runRetract({ output, dataDir, options, args }: Context<RetractOptions>): Promise<undefined> {
  const { cascade, reason, dryRun, operationId, agent } = options;
  const position = Number(args[0]);
  await using target = await openTarget({ dataDir, output });
  const command = { type: 'context.retract', position, cascade, reason, dryRun, operationId, agent } as const;
  const report = (await target.ask(command)) as RetractReport;
  const { restored, marked, supported, conflicts, changed } = report;
  const lines = [
    ...restored.map((each) => `${each.removed ? 'removed' : 'restored'} ${nameOf(each)}`),
    ...marked.map((each) => `marked as stale ${nameOf(each)}`),
    ...supported.map((each) => `left, the same without it ${nameOf(each)}`),
    ...conflicts.map(
      (each) => `left, written later ${nameOf(each)} at ${each.position} by ${each.agent ?? 'no agent'}`,
    ),
  ];
  await output.result(report, lines.join('\n'));
  const amount = shownAmount(lines.length, 'entry', 'entries');
  if (dryRun) output.message(`Position ${position} would be taken back: ${amount}.`);
  else if (changed) output.message(`Position ${position} is taken back at position ${report.position}: ${amount}.`);
  else output.message(`Nothing had to be written: ${amount}.`);
  return undefined;
}

function nameOf({ namespace, key }: { readonly namespace: string; readonly key: string }): string {
  return `${shownName(key)} in ${shownName(namespace)}`;
}
