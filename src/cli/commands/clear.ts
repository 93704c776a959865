import type { Command } from 'commander';
import type { DataCommand } from '../../index.ts';
import { agentOption, yesOption } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { mayDestroy, type YesFlag } from '../terminal/confirm.ts';
import { shownName } from '../terminal/format.ts';
import { change } from './values.ts';

interface ClearFlags extends YesFlag {
  readonly agent?: string;
}

/** `clear` and `drop`: every key of a namespace. */
export function addClear(program: Command, session: Session): void {
  const clear = ofNamespace(program, 'clear', 'remove every key of a namespace; the namespace stays listed');
  const drop = ofNamespace(program, 'drop', 'remove a namespace with all its keys; its versions begin again');
  example(clear, 'clear trip', 'clear trip --yes --agent me');
  example(drop, 'drop trip', 'drop trip --yes');
  does<ClearFlags>(session, clear, (context) => remove(context, 'context.clear', 'clear removes every key of'));
  does<ClearFlags>(session, drop, (context) => remove(context, 'context.drop', 'drop removes, with every key,'));
}

function ofNamespace(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .argument('<namespace>', 'its name')
    .addOption(agentOption('who removes'))
    .addOption(yesOption());
}

async function remove(
  context: Context<ClearFlags>,
  type: (DataCommand & { type: 'context.clear' | 'context.drop' })['type'],
  what: string,
): Promise<undefined> {
  const { output, dataDir, options, args } = context;
  const [namespace = ''] = args;
  await mayDestroy(context, `${what} ${shownName(namespace)}`);
  await using target = await openTarget({ dataDir, output });
  await change(output, target, { type, namespace, ...(options.agent === undefined ? {} : { agent: options.agent }) });
}
