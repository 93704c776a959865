import { copyFile, link, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Tables of LevelDB, which are never changed: removed at the most. */
const TABLE = /\.(ldb|sst)$/;
/** What else there is of a database. */
const PART = /^(CURRENT|MANIFEST-\d+|\d+\.log)$/;

/** A database that may be opened without a change to the one it was made from. */
export interface DatabaseCopy extends AsyncDisposable {
  readonly location: string;
}

/**
 * A copy of a database that nobody has open, in a directory of its own in `parent`, removed on disposal. Tables are
 * linked, so that it takes next to no time and room.
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
