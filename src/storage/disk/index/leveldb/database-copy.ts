import { copyFile, link, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** LevelDB's tables, which never change and are only removed. */
const TABLE = /\.(ldb|sst)$/;
/** The other files of a database. */
const PART = /^(CURRENT|MANIFEST-\d+|\d+\.log)$/;

/** A copy of a database that can be opened without changing the original. */
export interface DatabaseCopy extends AsyncDisposable {
  readonly location: string;
}

/**
 * Copies a database that no process has open into a new directory in `parent`. Disposal removes the copy. Tables are
 * linked, so the copy takes almost no time and space.
 */
export async function copyDatabase(location: string, parent: string): Promise<DatabaseCopy> {
  const copy = await mkdtemp(join(parent, 'verify-'));
  const remove = () => rm(copy, { recursive: true, force: true });
  try {
    for (const file of await readdir(location)) {
      const [from, to] = [join(location, file), join(copy, file)];
      if (TABLE.test(file)) await link(from, to).catch(() => copyFile(from, to));
      else if (PART.test(file)) await copyFile(from, to);
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { location: copy, [Symbol.asyncDispose]: remove };
}
