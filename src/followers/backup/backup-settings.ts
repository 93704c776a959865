import type { BackupSettings } from '../../core/command.ts';
import { ContextCacheError } from '../../core/errors.ts';

/** The settings that hold where none are given. */
export const DEFAULT_BACKUP_SETTINGS: BackupSettings = Object.freeze({ interval: 300, mode: 'periodic', keep: 5 });

/** Seconds of 30 days. */
const LONGEST_INTERVAL = 30 * 24 * 60 * 60;
const MOST_KEPT = 10_000;
const MODES: readonly unknown[] = ['periodic', 'on_change', 'manual'] satisfies BackupSettings['mode'][];

/**
 * The settings `base` with `changes`; a change that is `undefined` counts as absent.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, naming the setting: `interval` is more than 0 seconds and at most 30
 *   days, `mode` one of `periodic`, `on_change`, `manual`, `keep` an integer from 1 to 10,000; others are unknown.
 */
export function mergeBackupSettings(base: BackupSettings, changes: Partial<BackupSettings> = {}): BackupSettings {
  if (typeof changes !== 'object' || changes === null || Array.isArray(changes)) {
    throw invalid('Backup settings are an object { interval, mode, keep }.');
  }
  for (const name of Object.keys(changes)) {
    if (!Object.hasOwn(DEFAULT_BACKUP_SETTINGS, name)) {
      throw invalid(`There is no backup setting ${JSON.stringify(name)}. There are interval, mode and keep.`);
    }
  }
  const { interval = base.interval, mode = base.mode, keep = base.keep } = changes;
  if (typeof interval !== 'number' || !Number.isFinite(interval) || interval <= 0 || interval > LONGEST_INTERVAL) {
    throw invalid(
      `interval is a number of seconds, more than 0 and at most ${LONGEST_INTERVAL} (30 days), not ${show(interval)}.`,
    );
  }
  if (!MODES.includes(mode)) throw invalid(`mode is 'periodic', 'on_change' or 'manual', not ${show(mode)}.`);
  if (!Number.isInteger(keep) || keep < 1 || keep > MOST_KEPT) {
    throw invalid(`keep is an integer from 1 to ${MOST_KEPT}, not ${show(keep)}.`);
  }
  return Object.freeze({ interval, mode, keep });
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
