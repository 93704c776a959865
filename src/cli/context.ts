import type { Command } from 'commander';
import { EXIT } from './terminal/failure.ts';
import type { Output } from './terminal/output.ts';

/** What a command works with. */
export interface Context<Options> {
  readonly output: Output;
  /** The data directory that is meant. */
  readonly dataDir: string;
  readonly options: Options;
  /** The positional arguments, as they were declared. */
  readonly args: readonly (string | undefined)[];
  /** Whether an option was given on the command line, and not by the environment or a file. */
  readonly isFlag: (name: keyof Options & string) => boolean;
}

/** Carries out a command; gives the exit code where it is not 0. */
export type Action<Options> = (context: Context<Options>) => Promise<number | undefined>;

/** Where commands get their output from and leave their exit code. */
export interface Session {
  readonly output: Output;
  exitCode: number;
}

/** Lets `action` carry out the command. */
export function does<Options>(session: Session, command: Command, action: Action<Options>): void {
  command.action(async () => {
    const options = command.optsWithGlobals() as Options & { dataDir: string };
    const args = command.processedArgs as (string | undefined)[];
    const { output } = session;
    const isFlag = (name: string) => command.getOptionValueSourceWithGlobals(name) === 'cli';
    session.exitCode = (await action({ output, dataDir: options.dataDir, options, args, isFlag })) ?? EXIT.ok;
  });
}

const examples = new WeakMap<Command, readonly string[]>();

/** Shows how the command is used: each a line as it is typed behind `context-cache`. */
export function example(command: Command, ...lines: readonly string[]): Command {
  examples.set(command, lines);
  const shown = lines.map((line) => `  $ context-cache ${line}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${shown}\n`);
}

/** The lines that {@link example} was given. */
export function examplesOf(command: Command): readonly string[] {
  return examples.get(command) ?? [];
}
