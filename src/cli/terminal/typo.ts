import { type Command, CommanderError } from 'commander';
import { nearest } from '../../core/nearest.ts';

/**
 * Makes the error of a mistyped subcommand: `backup enabel` suggests `backup enable`. Commander takes such a word for an
 * argument of the default subcommand and says that there are too many. Other errors stay.
 */
export function namingSubcommand(error: unknown, program: Command, args: readonly string[]): unknown {
  if (!(error instanceof CommanderError) || error.code !== 'commander.excessArguments') return error;
  for (const group of program.commands.filter(({ commands }) => commands.length > 0)) {
    const mistaken = group.commands.find((each) => each.args.length > 0 && !args.includes(each.name()));
    const word = mistaken?.args[0];
    if (word === undefined || !args.includes(group.name())) continue;
    const names = group.commands.map((each) => each.name());
    const near = nearest(word, names);
    const remedy = near === undefined ? `it has ${names.join(', ')}` : `Did you mean ${group.name()} ${near}?`;
    return new CommanderError(error.exitCode, error.code, `error: unknown command '${word}' (${remedy})`);
  }
  return error;
}
