import type { Command } from 'commander';
import type { CompactReport, LogOptions } from '../../index.ts';
import { collect } from '../config/cli-option.ts';
import { duration, integer, yesOption } from '../config/options.ts';
import { does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { mayDestroy, type YesFlag } from '../terminal/confirm.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';
import { Progress } from '../terminal/progress.ts';

/** What of the past is to be kept. */
export interface KeepFlags {
  readonly keepUpdates?: number;
  readonly keep?: number;
  readonly keepBytes?: number;
}

/** `--keep-updates`, `--keep` and `--keep-bytes`. */
export function withKeep(command: Command): Command {
  return command
    .option('--keep-updates <count>', 'keep the last so many updates (0: only the present)', integer)
    .option('--keep <duration>', "keep what is no older than this: '30d', '12h', or milliseconds", duration)
    .option('--keep-bytes <bytes>', 'keep the last updates of so many estimated bytes', integer);
}

/** The same, as the cache takes it. */
export function keepOf({
  keepUpdates,
  keep: keepMs,
  keepBytes,
}: KeepFlags): Pick<LogOptions, 'keepUpdates' | 'keepMs' | 'keepBytes'> {
  const given = Object.entries({ keepUpdates, keepMs, keepBytes }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given);
}

/** `compact`: lets go of the past. */
export function addCompact(program: Command, session: Session): void {
  const compact = withKeep(
    program
      .command('compact')
      .description('let go of the updates and moments that are not to be kept; never the present'),
  )
    .option('--forget <follower>', 'do not wait for this follower, which is not running (may be repeated)', collect)
    .addOption(yesOption());
  example(compact, 'compact --keep 30d --keep-updates 1000000', 'compact --keep-updates 0 --yes');
  does<KeepFlags & YesFlag & { forget?: string[] }>(session, compact, async (context) => {
    const { output, dataDir, options } = context;
    await mayDestroy(context, 'compact lets go of what is not to be kept of the log and the past, for good');
    await using target = await openTarget({ dataDir, output });
    using _progress = new Progress(output, 'Compacting');
    const forget = options.forget === undefined ? {} : { forget: options.forget };
    const answer = await target.ask({ type: 'cache.compact', ...keepOf(options), ...forget });
    const { first, removed, heldBy } = answer as CompactReport;
    const held = heldBy === undefined ? '' : `; more is kept for ${heldBy}`;
    const text = `${shownAmount(removed, 'update')} gone, the log begins at position ${shownCount(first)}${held}`;
    await output.result({ first, removed, ...(heldBy === undefined ? {} : { heldBy }) }, text);
  });
}
