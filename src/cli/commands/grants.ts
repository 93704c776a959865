import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { ControlCommand, Grant } from '../../types.ts';
import { parseJson } from '../../wire/lines.ts';
import { CliOption } from '../config/cli-option.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { UsageError } from '../terminal/failure.ts';

interface AddFlags {
  readonly read?: string[];
  readonly write?: string[];
  readonly admin?: boolean;
}

/** `grants`: what each agent may read and write. */
export function addGrants(program: Command, session: Session): void {
  const grants = program.command('grants').description('print or change what each agent may read and write');
  const list = grants.command('list', { isDefault: true }).description('print the grants; without any, all is allowed');
  const add = grants
    .command('add')
    .description('add a grant, or replace that of the same agent')
    .argument('<agent>', 'name of the agent; "*" for every agent')
    .addOption(pattern('--read <pattern>', 'namespaces that it may read, such as "trip/**"; may be repeated'))
    .addOption(pattern('--write <pattern>', 'namespaces that it may write; may be repeated'))
    .addOption(never('--admin', 'let it read, write and change everything, grants included'));
  const set = grants
    .command('set')
    .description('replace all grants by those in a JSON file; "[]" removes them all')
    .argument('<file>');
  const remove = grants.command('remove').description('remove the grant of an agent').argument('<agent>');
  example(grants, 'grants', 'grants add planner --read "trip/**" --write "trip/plan/**"');
  example(list, 'grants list', 'grants list --json');
  example(add, 'grants add planner --read "trip/**" --write "trip/plan/**"', 'grants add operator --admin');
  example(set, 'grants set grants.json');
  example(remove, 'grants remove planner');
  does(session, list, (context) => change(context, { type: 'grants.list' }));
  does<AddFlags>(session, add, (context) => {
    const { read = [], write = [], admin = false } = context.options;
    return change(context, { type: 'grants.add', grant: { agent: context.args[0] ?? '', read, write, admin } });
  });
  does(session, set, (context) => change(context, { type: 'grants.set', grants: grantsIn(context.args[0] ?? '') }));
  does(session, remove, (context) => change(context, { type: 'grants.remove', agent: context.args[0] ?? '' }));
}

function pattern(flags: string, description: string): CliOption {
  const option = never(flags, description);
  option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
  return option;
}

function never(flags: string, description: string): CliOption {
  const option = new CliOption(flags, description);
  option.inFile = 'never';
  return option;
}

/** The cache checks what the file holds. */
function grantsIn(file: string): Grant[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`);
  }
  return parseJson(text) as unknown as Grant[];
}

async function change({ output, dataDir }: Context<unknown>, command: ControlCommand): Promise<undefined> {
  await using target = await openTarget({ dataDir, output });
  for (const grant of (await target.ask(command)) as readonly Grant[]) await output.result(grant, lineOf(grant));
}

function lineOf({ agent, read, write, admin }: Grant): string {
  const rights = [
    ...(admin === true ? ['admin'] : []),
    ...(read === undefined || read.length === 0 ? [] : [`read ${read.map(shown).join(' ')}`]),
    ...(write === undefined || write.length === 0 ? [] : [`write ${write.map(shown).join(' ')}`]),
  ];
  return `${agent}  ${rights.length === 0 ? 'nothing' : rights.join('; ')}`;
}

function shown(selection: NonNullable<Grant['read']>[number]): string {
  if (typeof selection === 'string') return selection;
  return `${selection.namespace} (keys ${[selection.keys].flat().join(' ')})`;
}
