import { createInterface } from 'node:readline/promises';
import type { Context } from '../context.ts';
import { Declined, UsageError } from './failure.ts';

/** The option of `yesOption`. */
export interface YesFlag {
  readonly yes?: boolean;
}

/**
 * Lets somebody say no before something is gone for good: returns where `--yes` was given, or the answer at the
 * terminal is yes.
 *
 * @param what as in "Removes every key of trip": what is going to happen.
 * @throws {UsageError} where nobody can be asked; {@link Declined}. Nothing has changed then.
 */
export async function mayDestroy({ output, options }: Context<YesFlag>, what: string): Promise<void> {
  if (options.yes === true) return;
  if (output.json || !process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UsageError(
      `${what}. Add --yes if that is meant, or run it at a terminal, where it asks. Nothing has changed.`,
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
  try {
    const answer = await Promise.race([terminal.question(`${what}. Go on? [y/N] `), closed]);
    if (!/^y(es)?$/i.test(answer.trim())) throw new Declined('Nothing has changed.');
  } finally {
    terminal.close();
  }
}
