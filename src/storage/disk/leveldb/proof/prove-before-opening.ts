import { join } from 'node:path';
import { corrupt } from '../sealed.ts';
import { checkDatabaseFiles, type FileDamage } from './level-files.ts';

/**
 * Greatest total size of tables that are checked as a whole, which takes up to 50 ms. For larger ones only the indexes
 * are checked, which takes 20 ms for a million keys.
 */
const WHOLE_TABLES_BYTES = 32 * 1024 * 1024;

/**
 * Checks a LevelDB database before LevelDB opens it. LevelDB itself would silently skip a damaged record of its log,
 * and remove files that a damaged manifest does not name.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` naming file and offset.
 * @throws The error of LevelDB if another process has the database open.
 */
export async function proveBeforeOpening(location: string, wholeTablesUpTo = WHOLE_TABLES_BYTES): Promise<void> {
  if ((await firstDamage(location, wholeTablesUpTo)) === undefined) return;
  await assertUnheld(location);
  // A process that had the database open may have changed it while it was being checked.
  const damage = await firstDamage(location, wholeTablesUpTo);
  if (damage === undefined) return;
  const { file, offset, problem } = damage;
  throw corrupt(`The database is damaged: ${join(location, file)} at byte ${offset}: ${problem}`);
}

async function firstDamage(location: string, wholeTablesUpTo: number): Promise<FileDamage | undefined> {
  for await (const damage of checkDatabaseFiles(location, { live: false, wholeTablesUpTo })) return damage;
  return undefined;
}

/**
 * Lets LevelDB take its lock and then refuse to open, because the database exists.
 *
 * @throws The error of LevelDB if another process has the database open.
 */
export async function assertUnheld(location: string): Promise<void> {
  const { ClassicLevel } = await import('classic-level');
  const db = new ClassicLevel(location, { createIfMissing: false, errorIfExists: true });
  try {
    await db.open();
  } catch (error) {
    const { cause } = error as { cause?: { code?: unknown } };
    if (cause?.code === 'LEVEL_LOCKED') throw error;
  }
}
