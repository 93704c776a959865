import { ContextCacheError } from './errors.ts';
import { invalidCommand } from './invalid-command.ts';
import { optionNames } from './options.ts';
import type { OriginOptions } from './origin.ts';
import { isPosition, isReason, MAX_REASON_CHARACTERS, type Retraction } from './retraction.ts';
import type { Operation } from './update.ts';

/** Treatment of later writes that are based on the retracted one, directly or through others. */
export type Cascade = 'none' | 'mark' | 'restore';

/** Options of `retract`. */
export interface RetractOptions extends Pick<OriginOptions, 'agent' | 'operationId'> {
  /** Why, at most 500 characters. Stays readable in the log, for watchers, in `changes` and in history. Default: none. */
  readonly reason?: string | undefined;
  /**
   * `none` leaves entries that are based on the retracted write as they are. `mark` sets their `stale`. `restore` takes back the writes
   * that name it in their basis, directly or through others, and marks those that only may have read it. Default `none`.
   */
  readonly cascade?: Cascade | undefined;
  /** Reports what would be written, and writes nothing. Default false. */
  readonly dryRun?: boolean | undefined;
}

/** An entry that a retraction has written. */
export interface RetractedEntry {
  readonly namespace: string;
  readonly key: string;
  /** `true`: the entry was removed, because the key was missing before. */
  readonly removed: boolean;
}

/** An entry that a retraction has marked, or left because its value also stands without the retracted write. */
export type DependentEntry = Omit<RetractedEntry, 'removed'>;

/** An entry that a retraction leaves as it is, because it was written later by a write that is not based on the retracted one. */
export interface RetractConflict extends DependentEntry {
  /** Position of its last write. */
  readonly position: number;
  readonly operation: Operation;
  readonly agent: string | null;
  /** Instant of that write, epoch milliseconds. */
  readonly at: number;
  /** Present if that write is a retraction: the update that it takes back. */
  readonly retraction?: Retraction | undefined;
}

/** Result of `retract`. */
export interface RetractReport {
  /** Position that was retracted. */
  readonly retracted: number;
  /**
   * Position of the retraction's last update; retracting it takes the whole retraction back. If nothing was written, a position
   * at which nothing had to change.
   */
  readonly position: number;
  /** `true` if the retraction has written something. */
  readonly changed: boolean;
  /** Entries that are again what they were before, in order of namespace and key. */
  readonly restored: readonly RetractedEntry[];
  /** Entries that are marked as stale. */
  readonly marked: readonly DependentEntry[];
  /**
   * Entries of dependent writes whose value and expiry are the same without the retracted write. They are left as they are, but for the
   * mark of the same write, which they lose. A repetition by operation id lists those that have lost it.
   */
  readonly supported: readonly DependentEntry[];
  /** Entries that were written later, and are left as they are. A repetition by operation id does not list them. */
  readonly conflicts: readonly RetractConflict[];
}

export const RETRACT_OPTIONS = optionNames<RetractOptions>('retract', {
  agent: true,
  operationId: true,
  reason: true,
  cascade: true,
  dryRun: true,
});

/** The options after the checks. */
export type CheckedRetraction = Required<Pick<RetractOptions, 'cascade' | 'dryRun'>> & Retraction;

/**
 * Checks what is asked of `retract`.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` for the position, otherwise `INVALID_COMMAND`.
 */
export function checkedRetraction(position: unknown, options: RetractOptions): CheckedRetraction {
  const { reason, cascade = 'none', dryRun = false } = options;
  if (!isPosition(position))
    throw new ContextCacheError('INVALID_OPTION', 'retract: give the position of a write, an integer from 1.');
  if (reason !== undefined && !isReason(reason))
    throw invalidCommand(`reason must be a well-formed string of 1 to ${MAX_REASON_CHARACTERS} characters`);
  if (cascade !== 'none' && cascade !== 'mark' && cascade !== 'restore')
    throw invalidCommand("cascade must be 'none', 'mark' or 'restore'");
  if (typeof dryRun !== 'boolean') throw invalidCommand('dryRun must be true or false');
  return { position, cascade, dryRun, ...(reason === undefined ? {} : { reason }) };
}
