import { ContextCacheError } from '../core/errors.ts';

/**
 * Checks the name of a blob in a snapshot store: 1 to 128 characters of `[A-Za-z0-9._-]`.
 *
 * @throws {ContextCacheError} `INVALID_NAME`.
 */
export function checkBlobName(name: string): void {
  if (/^[A-Za-z0-9._-]{1,128}$/.test(name)) return;
  const shown = JSON.stringify(name.slice(0, 40));
  throw new ContextCacheError(
    'INVALID_NAME',
    `A blob's name has 1 to 128 characters of A-Z a-z 0-9 . _ -; ${shown} has not.`,
  );
}
