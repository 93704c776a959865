import type { BackupSettings, BackupSettingsChange } from '../../core/command.ts';
import { toMilliseconds } from '../../core/duration.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { optionNames } from '../../core/options.ts';

/** The defaults. */
export const DEFAULT_BACKUP_SETTINGS: BackupSettings = Object.freeze({ interval: 300, mode: 'periodic', keep: 5 });

/** 30 days in seconds. */
const LONGEST_INTERVAL = 30 * 24 * 60 * 60;
const MOST_KEPT = 10_000;
const MODES: readonly unknown[] = ['periodic', 'on_change', 'manual'] satisfies BackupSettings['mode'][];

const NAMES = optionNames<BackupSettingsChange>('the backup settings', {
  interval: true,
  intervalMs: true,
  mode: true,
  keep: true,
});

/**
 * Returns `base` with the changes; a change that is `undefined` counts as absent.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, naming the setting: the interval is more than 0 and at most 30 days and
 *   given once, `mode` is `periodic`, `on_change` or `manual`, `keep` an integer from 1 to 10,000; others are unknown.
 */
export function mergeBackupSettings(base: BackupSettings, changes: BackupSettingsChange = {}): BackupSettings {
  NAMES.check(changes);
  const interval = intervalOf(changes) ?? base.interval;
  const { mode = base.mode, keep = base.keep } = changes;
  if (!MODES.includes(mode)) throw invalid(`mode is 'periodic', 'on_change' or 'manual', not ${show(mode)}.`);
  if (!Number.isInteger(keep) || keep < 1 || keep > MOST_KEPT) {
    throw invalid(`keep is an integer from 1 to ${MOST_KEPT}, not ${show(keep)}.`);
  }
  return Object.freeze({ interval, mode, keep });
}

/** The interval in seconds, to the millisecond; `undefined` if none is given. */
function intervalOf({ interval, intervalMs }: BackupSettingsChange): number | undefined {
  if (interval !== undefined && intervalMs !== undefined) {
    throw invalid('The backup settings have interval (seconds) and intervalMs (milliseconds). Give one of them.');
  }
  if (intervalMs !== undefined) return checked('intervalMs', 'milliseconds', intervalMs, toMilliseconds(intervalMs));
  if (interval === undefined) return undefined;
  // A string needs its unit: "5" would be 5 ms elsewhere.
  const hasUnit = typeof interval === 'string' && /[a-z]\s*$/i.test(interval);
  const inMs = typeof interval === 'number' ? interval * 1_000 : hasUnit ? toMilliseconds(interval) : undefined;
  return checked('interval', 'seconds', interval, inMs);
}

function checked(name: string, unit: string, given: unknown, inMs: number | undefined): number {
  const seconds = inMs === undefined ? 0 : inMs / 1_000;
  if (seconds > 0 && seconds <= LONGEST_INTERVAL) return seconds;
  throw invalid(
    `${name} is a number of ${unit} or a string such as '10s', more than 0 and at most 30 days, not ${show(given)}.`,
  );
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', problem);
}

function show(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(value.slice(0, 40))
    : typeof value === 'number'
      ? String(value)
      : `a value of type ${typeof value}`;
}
