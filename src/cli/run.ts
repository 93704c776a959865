import { type Command, CommanderError } from 'commander';
import { inFlags } from './config/flag-words.ts';
import type { Session } from './context.ts';
import { createProgram } from './program.ts';
import { Declined, EXIT, exitCodeOf, OutputClosed } from './terminal/failure.ts';
import { Output } from './terminal/output.ts';
import { namingSubcommand } from './terminal/typo.ts';

/** Runs the command line; resolves with the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  // --json and --no-color must also hold for errors in the command line itself, so they are read before it is parsed.
  const end = args.indexOf('--');
  const options = end < 0 ? args : args.slice(0, end);
  const output = new Output(options.includes('--json'), options.includes('--no-color') ? false : undefined);
  output.listen();
  const session: Session = { output, exitCode: EXIT.ok };
  const program = createProgram(session);
  try {
    if (args.length === 0) program.help({ error: true });
    await program.parseAsync(args, { from: 'user' });
    await output.flush();
    return session.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.usage;
    // The reader left, as in `| head`. The command may have ended before that was noticed.
    if (error instanceof OutputClosed) return session.exitCode;
    if (error instanceof Declined) {
      output.message(error.message);
      return EXIT.failure;
    }
    output.error(inFlags(namingSubcommand(error, program, args), session.command));
    if (error instanceof CommanderError) output.message(`See "context-cache${pathOf(program, args)} --help".`);
    return exitCodeOf(error);
  }
}

/** Returns the command in the arguments, as far as it is recognized: ` backup enable`. */
function pathOf(program: Command, args: readonly string[]): string {
  let path = '';
  let current = program;
  for (const arg of args) {
    const next = current.commands.find((command) => command.name() === arg || command.aliases().includes(arg));
    if (next === undefined) continue;
    path += ` ${next.name()}`;
    current = next;
  }
  return path;
}
