import { ContextCacheError } from '../core/errors.ts';

/**
 * Bounds on how much of the past is kept. An update is released when any bound says so; without bounds everything is
 * kept.
 */
export interface RetentionBounds {
  /** Number of latest updates to keep: an integer from 0. 0 keeps only the present. */
  readonly keepUpdates?: number | undefined;
  /** Age up to which updates are kept, in milliseconds, counted from the instant of the write: an integer from 0. */
  readonly keepMs?: number | undefined;
  /**
   * Estimated bytes of latest updates to keep: an integer from 0. Counts the bytes of each value plus 256 for each
   * update. A value is on disk twice, in the log and in the past, before LevelDB compresses it.
   */
  readonly keepBytes?: number | undefined;
}

/** Something that still needs what comes after a position. */
export interface Holder {
  /** For messages: `follower mirror`, `a view` … */
  readonly name: string;
  readonly position: number;
}

/** The part of the past that is kept: the storage that retention works on. */
export interface Retained {
  /** The oldest position whose state is kept. Everything before it has been released. */
  readonly begin: number;
  /**
   * Returns the position up to which the bounds allow everything to be released; not before `begin`. `now` is epoch
   * milliseconds.
   */
  limit(bounds: RetentionBounds, now: number): number;
  /**
   * Returns the latest instant, epoch milliseconds, of all updates up to this position (which must be after `begin`),
   * or `undefined` if the position is not written yet, or cannot be looked up at present.
   */
  instantAt(position: number): number | undefined;
  holders(): Iterable<Holder>;
  /**
   * Releases everything up to `position`, in slices. The caller has checked that no holder needs it. `wholly` returns
   * all of its space to the disk now instead of gradually. An interruption leaves everything after `position` intact.
   */
  trim(position: number, wholly: boolean, signal: AbortSignal): Promise<void>;
}

/**
 * Checks that every bound is an integer from 0.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` naming the bound.
 */
export function checkBounds(bounds: RetentionBounds): void {
  for (const name of ['keepUpdates', 'keepMs', 'keepBytes'] as const) {
    const value: unknown = bounds[name];
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0)) continue;
    throw new ContextCacheError('INVALID_OPTION', `${name} must be an integer from 0, not ${String(value)}.`);
  }
}

/** Returns whether any bound is set. */
export function isBounded({ keepUpdates, keepMs, keepBytes }: RetentionBounds): boolean {
  return keepUpdates !== undefined || keepMs !== undefined || keepBytes !== undefined;
}
