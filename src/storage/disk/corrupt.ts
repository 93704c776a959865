import { ContextCacheError, toError } from '../../core/errors.ts';

/** Creates the error for stored bytes that differ from what was written. Nothing is repaired or overwritten. */
export function corrupt(problem: string, cause?: unknown): ContextCacheError {
  return new ContextCacheError(
    'LOG_CORRUPT',
    `${problem}. Nothing was changed. Check the disk, keep a copy of the directory, and restore a backup into a new directory.`,
    cause === undefined ? undefined : { cause },
  );
}

/** Creates the error for a file that cannot be opened or read: it is missing, or the disk or the permissions fail. */
export function unreadable(path: string, thrown: unknown): ContextCacheError {
  const cause = toError(thrown);
  if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return corrupt(`${path} is missing`, cause);
  const message = `${path} cannot be read: ${cause.message}. Check the disk and the permissions.`;
  return new ContextCacheError('LOG_UNAVAILABLE', message, { cause });
}

/** Creates the error for files that cannot be written. Returns an error that has a type already. */
export function unwritable(path: string, thrown: unknown): ContextCacheError {
  if (thrown instanceof ContextCacheError) return thrown;
  const cause = toError(thrown);
  const message = `${path} cannot be written: ${cause.message}. Check the disk and the permissions.`;
  return new ContextCacheError('LOG_UNAVAILABLE', message, { cause });
}
