#!/usr/bin/env node
import { CommanderError } from 'commander';
import type { Session } from './context.ts';
import { EXIT, exitCodeOf, OutputClosed } from './failure.ts';
import { Output } from './output.ts';
import { createProgram } from './program.ts';

/** Runs the command line; gives the exit code. */
async function run(args: readonly string[]): Promise<number> {
  const end = args.indexOf('--');
  const json = (end < 0 ? args : args.slice(0, end)).includes('--json');
  const output = new Output(json);
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
    // The command may have ended before it showed that nobody reads what it wrote.
    if (error instanceof OutputClosed) return session.exitCode;
    output.error(error);
    if (error instanceof CommanderError)
      output.message('See "context-cache help" and "context-cache <command> --help".');
    return exitCodeOf(error);
  }
}

// What it makes is for this user alone, LevelDB's files from the first moment on.
process.umask(0o077);
process.exitCode = await run(process.argv.slice(2));
