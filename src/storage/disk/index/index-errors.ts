import { ContextCacheError, toError } from '../../../core/errors.ts';

/** An error of the log that the index is derived from, in `cause`. The index is not to blame. */
export class LogReadError extends Error {}

/** The index is ahead of its log: the log has lost updates. */
export class LostUpdates extends Error {}

/** The thread that writes the index cannot be started here: in a bundle that lacks its file, for example. */
export class ThreadNotStarted extends Error {}

/** Damage of the index that was found in another thread. */
export class DamagedIndex extends Error {}

/** Calls `read`, and marks its error as one of the log. */
export function fromLog<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (cause) {
    throw new LogReadError(toError(cause).message, { cause });
  }
}

/** Returns whether an error shows that the index is damaged or does not belong to its log. */
export function isDamage(error: unknown): boolean {
  if (error instanceof LogReadError) return false;
  if (error instanceof DamagedIndex) return true;
  if (error instanceof ContextCacheError) return error.code === 'LOG_CORRUPT' || error.code === 'INVARIANT';
  const { cause } = error as { cause?: unknown };
  for (const each of [error, cause] as { code?: unknown; message?: string }[]) {
    if (each?.code === 'LEVEL_CORRUPTION') return true;
    // A file of the database was removed.
    if (each?.code === 'LEVEL_IO_ERROR' && each.message?.includes('No such file')) return true;
  }
  return false;
}
