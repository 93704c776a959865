import type { Command } from 'commander';
import type { ControlCommand } from '../../types.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { printNames } from './values.ts';

/** `topics`: the NATS subjects to broadcast to. */
export function addTopics(program: Command, session: Session): void {
  const topics = program.command('topics').description('print or change the NATS subjects to broadcast updates to');
  const list = topics.command('list', { isDefault: true }).description('print the topics');
  const set = topics
    .command('set')
    .description('replace the topics; without any, broadcasting stops')
    .argument('[topics...]');
  const add = topics.command('add').description('add a topic, which gets later updates').argument('<topic>');
  const remove = topics.command('remove').description('remove a topic').argument('<topic>');
  example(topics, 'topics', 'topics add agents.context');
  example(list, 'topics list', 'topics list --json');
  example(set, 'topics set agents.context audit.context');
  example(add, 'topics add agents.context');
  example(remove, 'topics remove agents.context');
  does(session, list, (context) => change(context, { type: 'topics.list' }));
  does(session, set, (context) =>
    change(context, { type: 'topics.set', topics: (context.args[0] ?? []) as unknown as string[] }),
  );
  does(session, add, (context) => change(context, { type: 'topics.add', topic: context.args[0] ?? '' }));
  does(session, remove, (context) => change(context, { type: 'topics.remove', topic: context.args[0] ?? '' }));
}

async function change({ output, dataDir }: Context<unknown>, command: ControlCommand): Promise<undefined> {
  await using target = await openTarget({ dataDir, output });
  await printNames(output, (await target.ask(command)) as string[]);
}
