import { ContextCacheError } from '../core/errors.ts';
import type { Update } from '../core/update.ts';
import type { LogMark } from './base-context-cache.ts';

/**
 * A batch of updates that does not follow on what the backend holds: it was emptied, restored, written by another log
 * or has lost entries. Nothing of the batch has been taken; the content has to be copied anew.
 *
 * @example
 * ```ts
 * try { await backend.applyUpdates(updates, mark, signal); } catch (error) {
 *   if (error instanceof MirrorMismatchError) await copyEverything();
 * }
 * ```
 */
export class MirrorMismatchError extends ContextCacheError {
  /** The position the backend is at; `undefined` where it knows nothing of the log. */
  readonly stored: number | undefined;

  constructor(problem: string, stored: number | undefined) {
    super('BACKEND_FAILED', `${problem} Copy the whole state to it, then go on.`);
    this.name = 'MirrorMismatchError';
    this.stored = stored;
  }
}

/**
 * The updates of a batch that a backend at `stored` has still to take: all of them, the later ones where a first try
 * has partly arrived, none where it has arrived whole.
 *
 * A log that nothing is known of is at position 0.
 *
 * @throws {MirrorMismatchError} where the batch does not follow on `stored`.
 */
export function updatesToTake(
  updates: readonly Update[],
  mark: LogMark,
  stored: number | undefined,
): readonly Update[] {
  const at = stored ?? 0;
  if (at === mark.after) return updates;
  if (at > mark.after) return updates.filter(({ position }) => position > at);
  const place = stored === undefined ? 'knows nothing of this log' : `is at position ${stored}`;
  throw new MirrorMismatchError(`The backend ${place}; the updates follow on position ${mark.after}.`, stored);
}
