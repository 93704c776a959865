import type { Command } from 'commander';
import { ContextCacheError, type LogOptions } from '../../index.ts';
import type { CompactReport } from '../../types.ts';
import { collect } from '../config/cli-option.ts';
import { duration, integer, yesOption } from '../config/options.ts';
import { does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { confirm, type YesFlag } from '../terminal/confirm.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';
import { Progress } from '../terminal/progress.ts';

/** How much of the past to keep. */
export interface KeepFlags {
  readonly keepUpdates?: number;
  readonly keep?: number;
  readonly keepBytes?: number;
}

/** `--keep-updates`, `--keep` and `--keep-bytes`. */
export function withKeep(command: Command): Command {
  return command
    .option('--keep-updates <count>', 'keep this many of the last updates (0: only the present)', integer)
    .option('--keep <duration>', "keep updates no older than this: '30d', '12h', or milliseconds", duration)
    .option('--keep-bytes <bytes>', 'keep the last updates up to this size, estimated', integer);
}

/** Returns the bounds as options of the cache. */
export function keepOf({
  keepUpdates,
  keep: keepMs,
  keepBytes,
}: KeepFlags): Pick<LogOptions, 'keepUpdates' | 'keepMs' | 'keepBytes'> {
  const given = Object.entries({ keepUpdates, keepMs, keepBytes }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given);
}

/** `compact`: discards the past beyond the bounds. */
export function addCompact(program: Command, session: Session): void {
  const compact = withKeep(
    program.command('compact').description('discard old updates and the views before them; the present is never lost'),
  )
    .option(
      '--forget <follower>',
      'do not keep updates for this follower, which is not running (may be repeated)',
      collect,
    )
    .addOption(yesOption());
  example(compact, 'compact --keep 30d --keep-updates 1000000', 'compact --keep-updates 0 --yes');
  does<KeepFlags & YesFlag & { forget?: string[] }>(session, compact, async (context) => {
    const { output, dataDir, options } = context;
    await confirm(context, 'compact discards updates and views beyond the bounds for good');
    await using target = await openTarget({ dataDir, output });
    using _progress = new Progress(output, 'Compacting');
    const forget = options.forget === undefined ? {} : { forget: options.forget };
    const keep = keepOf(options);
    const answer = await target.ask({ type: 'cache.compact', ...keep, ...forget }).catch((error) => {
      const isUnbounded = Object.keys(keep).length === 0;
      throw isUnbounded && error instanceof ContextCacheError && error.code === 'INVALID_OPTION'
        ? nothingToKeep()
        : error;
    });
    const { first, removed, heldBy } = answer as CompactReport;
    const held = heldBy === undefined ? '' : `; ${heldBy} still needs the rest`;
    const text = `${shownAmount(removed, 'update')} discarded, the log is kept from position ${shownCount(first)} on${held}`;
    await output.result({ first, removed, ...(heldBy === undefined ? {} : { heldBy }) }, text);
  });
}

function nothingToKeep(): UsageError {
  const bounds = 'Add --keep-updates, --keep or --keep-bytes';
  return new UsageError(`No bound is set. ${bounds}, or give one of them to the process that serves the directory.`);
}
