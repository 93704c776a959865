import type { Command } from 'commander';
import { EXIT } from './terminal/failure.ts';
import type { Output } from './terminal/output.ts';

/** Arguments, options and output of a command. */
export interface Context<Options> {
  readonly output: Output;
  /** Path of the data directory. */
  readonly dataDir: string;
  readonly options: Options;
  /** Positional arguments, in the order of their declaration. */
  readonly args: readonly (string | undefined)[];
  /** Returns whether an option was given on the command line, not by the environment or a file. */
  readonly isFlag: (name: keyof Options & string) => boolean;
}

/** Executes a command; resolves with the exit code if it is not 0. */
export type Action<Options> = (context: Context<Options>) => Promise<number | undefined>;

/** State of one run: the output of its command and the exit code. */
export interface Session {
  readonly output: Output;
  exitCode: number;
  /** The command that runs. */
  command?: Command;
}

/** Makes `action` the action of the command. */
export function does<Options>(session: Session, command: Command, action: Action<Options>): void {
  command.action(async () => {
    const options = command.optsWithGlobals() as Options & { dataDir: string };
    const args = command.processedArgs as (string | undefined)[];
    const { output } = session;
    session.command = command;
    const isFlag = (name: string) => command.getOptionValueSourceWithGlobals(name) === 'cli';
    session.exitCode = (await action({ output, dataDir: options.dataDir, options, args, isFlag })) ?? EXIT.ok;
  });
}

const examples = new WeakMap<Command, readonly string[]>();

/** Adds examples to the help of a command, each a line as typed after `context-cache`. */
export function example(command: Command, ...lines: readonly string[]): Command {
  examples.set(command, lines);
  const shown = lines.map((line) => `  $ context-cache ${line}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${shown}\n`);
}

/** Returns the lines that {@link example} was given. */
export function examplesOf(command: Command): readonly string[] {
  return examples.get(command) ?? [];
}
