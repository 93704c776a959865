import type { Command } from 'commander';
import type { DataCommand } from '../../index.ts';
import type { ClearOptions } from '../../types.ts';
import { originOptions, yesOption } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { confirm, type YesFlag } from '../terminal/confirm.ts';
import { shownName } from '../terminal/format.ts';
import { change, given } from './values.ts';

type ClearFlags = YesFlag & ClearOptions;

/** `clear` and `drop`: remove every key of a namespace. */
export function addClear(program: Command, session: Session): void {
  const clear = ofNamespace(program, 'clear', 'remove every key of a namespace, but keep the namespace');
  const drop = ofNamespace(program, 'drop', 'remove a namespace with all its keys');
  clear.option('--prefix <text>', 'remove only the keys that start with this text');
  example(clear, 'clear trip', 'clear trip --yes --agent me', 'clear trip --prefix message:');
  example(drop, 'drop trip', 'drop trip --yes');
  does<ClearFlags>(session, clear, (context) => {
    const name = shownName(context.args[0] ?? '');
    const nothing = `Nothing was cleared: there is no namespace ${name}, or it is empty.`;
    const { prefix } = context.options;
    const keys = prefix === undefined ? 'every key' : `every key that starts with ${shownName(prefix)}`;
    return remove(context, 'context.clear', `clear removes ${keys} of ${name}`, nothing);
  });
  does<ClearFlags>(session, drop, (context) => {
    const name = shownName(context.args[0] ?? '');
    const nothing = `Nothing was dropped: there is no namespace ${name}.`;
    return remove(context, 'context.drop', `drop removes the namespace ${name} with all its keys`, nothing);
  });
}

function ofNamespace(program: Command, name: string, description: string): Command {
  const command = program.command(name).description(description).argument('<namespace>', 'the namespace');
  for (const option of originOptions('agent that removes')) command.addOption(option);
  return command.addOption(yesOption());
}

async function remove(
  context: Context<ClearFlags>,
  type: (DataCommand & { type: 'context.clear' | 'context.drop' })['type'],
  what: string,
  nothing: string,
): Promise<undefined> {
  const { output, dataDir, options, args } = context;
  const { prefix, agent, meta, operationId } = options;
  const [namespace = ''] = args;
  await confirm(context, what);
  await using target = await openTarget({ dataDir, output });
  await change(output, target, { type, namespace, ...given({ prefix, agent, meta, operationId }) }, nothing);
}
