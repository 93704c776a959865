import type { Command } from 'commander';
import { EXIT } from './failure.ts';
import type { Output } from './output.ts';

/** What a command works with. */
export interface Context<Options> {
  readonly output: Output;
  /** The data directory that is meant. */
  readonly dataDir: string;
  readonly options: Options;
  /** The positional arguments, as they were declared. */
  readonly args: readonly (string | undefined)[];
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
    session.exitCode = (await action({ output, dataDir: options.dataDir, options, args })) ?? EXIT.ok;
  });
}

/** Shows how the command is used. */
export function example(command: Command, line: string): Command {
  return command.addHelpText('after', `\nExample:\n  $ context-cache ${line}\n`);
}
