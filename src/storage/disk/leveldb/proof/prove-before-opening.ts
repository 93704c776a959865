import { join } from 'node:path';
import { corrupt } from '../sealed.ts';
import { checkDatabaseFiles, type FileDamage } from './level-files.ts';

/**
 * Tables are proven whole where all together are no larger than this, which takes up to 50 ms; of larger ones the
 * indexes, which takes 20 ms for a million keys.
 */
const WHOLE_TABLES_BYTES = 32 * 1024 * 1024;

/**
 * Proves a LevelDB database before LevelDB opens it, which would pass over a damaged record of its log without a word, and
 * remove what a damaged manifest does not name.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` naming file and offset; as LevelDB does where another process has it.
 */
export async function proveBeforeOpening(location: string, wholeTablesUpTo = WHOLE_TABLES_BYTES): Promise<void> {
  if ((await firstDamage(location, wholeTablesUpTo)) === undefined) return;
  await assertUnheld(location);
  // Whoever had it until now may have changed it while it was looked at.
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
 * Has LevelDB take its lock and refuse all the rest, because the database is there.
 *
 * @throws as LevelDB does where another process has it.
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
