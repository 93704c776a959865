import type { Command } from 'commander';
import type { CompactReport, LogOptions } from '../../index.ts';
import { does, example, type Session } from '../context.ts';
import { collect, duration, integer } from '../options.ts';
import { shownCount } from '../output.ts';
import { openTarget } from '../target.ts';

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
  ).option('--forget <follower>', 'do not wait for this follower, which is not running (may be repeated)', collect);
  example(compact, 'compact --keep 30d --keep-updates 1000000');
  does<KeepFlags & { forget?: string[] }>(session, compact, async ({ output, dataDir, options }) => {
    await using target = await openTarget({ dataDir, output });
    const forget = options.forget === undefined ? {} : { forget: options.forget };
    const answer = await target.ask({ type: 'cache.compact', ...keepOf(options), ...forget });
    const { first, removed, heldBy } = answer as CompactReport;
    const held = heldBy === undefined ? '' : `; more is kept for ${heldBy}`;
    const text = `${shownCount(removed)} updates gone, the log begins at position ${shownCount(first)}${held}`;
    await output.result({ first, removed, ...(heldBy === undefined ? {} : { heldBy }) }, text);
  });
}
