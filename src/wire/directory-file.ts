import { replaceFile } from '../backends/replace-file.ts';
import { ContextCacheError } from '../core/errors.ts';

/**
 * Replaces a small file of a data directory, in one atomic step. Only this user can read it.
 *
 * @throws {ContextCacheError} `LOG_UNAVAILABLE`.
 */
export async function writeDirectoryFile(path: string, content: object): Promise<void> {
  try {
    await replaceFile(path, `${JSON.stringify(content)}\n`);
  } catch (cause) {
    throw new ContextCacheError('LOG_UNAVAILABLE', `${path} cannot be written. Check the permissions.`, { cause });
  }
}
