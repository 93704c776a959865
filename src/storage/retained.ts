import { ContextCacheError } from '../core/errors.ts';

/** How much of what has been is kept. What any one of them lets go of goes; where none is given, everything is kept. */
export interface RetentionBounds {
  /** Keep the last so many updates: an integer from 0, which keeps only the present. */
  readonly keepUpdates?: number | undefined;
  /** Keep the updates that were asked for within so many milliseconds, from 0. */
  readonly keepMs?: number | undefined;
  /**
   * Keep the last updates of so many estimated bytes, from 0: those of the values and 256 for each update. A value is on
   * disk twice, in the log and in the past, before LevelDB compresses it.
   */
  readonly keepBytes?: number | undefined;
}

/** Somebody who still needs what comes after a position. */
export interface Holder {
  /** `follower mirror`, `a view` … */
  readonly name: string;
  readonly position: number;
}

/** What has been, as far as it is kept: what retention works on. */
export interface Retained {
  /** Nothing from before this position is kept: the oldest state there is. */
  readonly begin: number;
  /** The position up to which the bounds let everything go; not before `begin`. */
  limit(bounds: RetentionBounds, now: number): number;
  /** The latest instant of the updates up to this position, which is beyond `begin`; `undefined` where it is not written. */
  instantAt(position: number): number | undefined;
  holders(): Iterable<Holder>;
  /**
   * Lets go of everything up to `position`, which no holder is in the way of, in slices. `wholly`: gives back all of its
   * place to the disk now, not by and by. Interrupted, it leaves everything after the position whole.
   */
  trim(position: number, wholly: boolean, signal: AbortSignal): Promise<void>;
}

/** @throws {ContextCacheError} `INVALID_OPTION`. */
export function checkBounds(bounds: RetentionBounds): void {
  for (const name of ['keepUpdates', 'keepMs', 'keepBytes'] as const) {
    const value: unknown = bounds[name];
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0)) continue;
    throw new ContextCacheError('INVALID_OPTION', `${name} must be an integer from 0, not ${String(value)}.`);
  }
}

/** Whether they let anything go. */
export function isBounded({ keepUpdates, keepMs, keepBytes }: RetentionBounds): boolean {
  return keepUpdates !== undefined || keepMs !== undefined || keepBytes !== undefined;
}
