import { ContextCacheError } from '../core/errors.ts';
import type { Update } from '../core/update.ts';
import type { LogMark } from './base-context-cache.ts';

/**
 * A batch of updates does not follow on the content of the backend (`BACKEND_FAILED`), because it was emptied, restored,
 * written by another log or has lost entries. Nothing of the batch was written; copy the whole state to it.
 *
 * @example
 * ```ts
 * try { await backend.applyUpdates(updates, mark, signal); } catch (error) {
 *   if (error instanceof MirrorMismatchError) await copyEverything();
 * }
 * ```
 */
export class MirrorMismatchError extends ContextCacheError {
  /** Stored position of the backend; `undefined` if it knows nothing of the log. */
  readonly stored: number | undefined;

  constructor(problem: string, stored: number | undefined) {
    super('BACKEND_FAILED', `${problem} Copy the whole state to it, then go on.`);
    this.name = 'MirrorMismatchError';
    this.stored = stored;
  }
}

/**
 * Returns the updates of a batch that a backend at position `stored` still needs: all of them, the later ones if an
 * earlier attempt arrived in part, none if it arrived completely. A log that the backend does not know is at position 0.
 *
 * @throws {MirrorMismatchError} if the batch does not follow on `stored`.
 */
export function updatesToTake(
  updates: readonly Update[],
  mark: LogMark,
  stored: number | undefined,
): readonly Update[] {
  const at = stored ?? 0;
  if (at === mark.after) return updates;
  if (at > mark.after) return updates.filter(({ position }) => position > at);
  const found = stored === undefined ? 'knows nothing of this log' : `is at position ${stored}`;
  throw new MirrorMismatchError(`The backend ${found}; the updates follow on position ${mark.after}.`, stored);
}
