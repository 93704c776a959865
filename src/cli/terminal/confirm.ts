import { createInterface } from 'node:readline/promises';
import type { Context } from '../context.ts';
import { Declined, UsageError } from './failure.ts';

/** Value of `yesOption`. */
export interface YesFlag {
  readonly yes?: boolean;
}

/**
 * Asks before data is lost for good. Returns if `--yes` was given or the answer at the terminal is yes.
 *
 * @param consequence as in "clear removes every key of trip".
 * @throws {UsageError} if there is no terminal to ask at; {@link Declined} if the answer is no. Nothing has changed then.
 */
export async function confirm({ output, options }: Context<YesFlag>, consequence: string): Promise<void> {
  if (options.yes === true) return;
  if (output.json || !process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UsageError(`${consequence}. To confirm, add --yes, or run it at a terminal. Nothing has changed.`);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
  try {
    const answer = await Promise.race([terminal.question(`${consequence}. Continue? [y/N] `), closed]);
    if (!/^y(es)?$/i.test(answer.trim())) throw new Declined('Nothing has changed.');
  } finally {
    terminal.close();
  }
}
