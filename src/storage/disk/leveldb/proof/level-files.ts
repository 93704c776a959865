import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Damage, readJournal } from './level-journal.ts';
import { LevelManifest } from './level-manifest.ts';
import { findTableDamage } from './level-table.ts';
import { SlicedFile } from './sliced-file.ts';

/** Number of tables checked side by side. Opening one is mostly waiting. */
const TABLES_AT_ONCE = 8;

/** Damage in a file of a database. */
export interface FileDamage extends Damage {
  /** Name of the file in the directory. */
  readonly file: string;
}

/** Options of {@link checkDatabaseFiles}. */
export interface CheckFilesOptions {
  /** `true` if a process is writing there. A file may then disappear because its content has gone into another one. */
  readonly live: boolean;
  readonly signal?: AbortSignal | undefined;
  /**
   * Greatest total size of tables, in bytes, that are checked as a whole; of larger ones only the indexes are. Default:
   * no limit.
   */
  readonly wholeTablesUpTo?: number | undefined;
}

/**
 * Checks the files of a LevelDB database, which LevelDB itself checks little when it reads them: `CURRENT` names a
 * manifest, all files that the manifest names exist, and every checksum in the manifest, the write-ahead logs and the
 * tables matches. Holds a few mebibytes or the largest indexes in memory. Skips files that are no longer part of the
 * database.
 *
 * An incomplete last record is no damage: it was being written when the process or machine stopped, and was never
 * acknowledged.
 *
 * @param location the directory with the file `CURRENT`.
 * @throws Errors of the file system, and the signal's reason.
 *
 * @example
 * ```ts
 * for await (const { file, offset, problem } of checkDatabaseFiles('./agent-memory/db', { live: false })) {
 *   console.log(`${file} at byte ${offset}: ${problem}`);
 * }
 * ```
 */
export async function* checkDatabaseFiles(
  location: string,
  options: CheckFilesOptions,
): AsyncGenerator<FileDamage, void, undefined> {
  const manifest = new LevelManifest();
  const name = yield* checkCurrent(location);
  if (name === undefined) return;
  yield* checkManifest(location, name, manifest, options);
  yield* checkLogs(location, name, manifest, options);
  yield* checkTables(location, name, manifest, options);
}

async function* checkCurrent(location: string): AsyncGenerator<FileDamage, string | undefined, undefined> {
  const file = 'CURRENT';
  const text = await unlessMissing(readFile(join(location, file), 'latin1'));
  const [, name] = /^(MANIFEST-\d+)\n$/.exec(text ?? '') ?? [];
  if (name !== undefined) return name;
  yield { file, offset: 0, problem: text === undefined ? 'is missing' : 'does not name a manifest' };
  return undefined;
}

async function* checkManifest(
  location: string,
  file: string,
  manifest: LevelManifest,
  { live, signal }: CheckFilesOptions,
): AsyncGenerator<FileDamage, void, undefined> {
  const opened = await unlessMissing(SlicedFile.open(join(location, file), signal));
  if (opened === undefined) {
    if (!live) yield { file, offset: 0, problem: 'is missing, though CURRENT names it' };
    return;
  }
  try {
    for await (const item of readJournal(opened, true)) {
      if ('problem' in item) yield { file, ...item };
      else manifest.take(item.record);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    yield { file, offset: 0, problem: `holds a record that cannot be read (${error.message})` };
  } finally {
    await opened.close();
  }
}

/** A log is created before the manifest names it, and removed after the manifest has named a later one. */
async function* checkLogs(
  location: string,
  manifestFile: string,
  { logNumber }: LevelManifest,
  { live, signal }: CheckFilesOptions,
): AsyncGenerator<FileDamage, void, undefined> {
  const numbers = (await numbersOf(location, /^(\d+)\.log$/)).filter((number) => number >= logNumber);
  if (!live && logNumber > 0 && numbers[0] !== logNumber) {
    const problem = `is missing, though ${manifestFile} names it`;
    yield { file: fileName(logNumber, 'log'), offset: 0, problem };
  }
  for (const number of numbers) {
    const file = fileName(number, 'log');
    const opened = await unlessMissing(SlicedFile.open(join(location, file), signal));
    if (opened === undefined) continue;
    try {
      for await (const item of readJournal(opened, false)) if ('problem' in item) yield { file, ...item };
    } finally {
      await opened.close();
    }
  }
}

async function* checkTables(
  location: string,
  manifestFile: string,
  { tables }: LevelManifest,
  { live, signal, wholeTablesUpTo = Number.POSITIVE_INFINITY }: CheckFilesOptions,
): AsyncGenerator<FileDamage, void, undefined> {
  let bytes = 0;
  for (const size of tables.values()) bytes += size;
  const whole = bytes <= wholeTablesUpTo;
  const all = [...tables];
  for (let first = 0; first < all.length; first += TABLES_AT_ONCE) {
    const some = all.slice(first, first + TABLES_AT_ONCE);
    for (const damage of await Promise.all(some.map(([number, size]) => tableDamage(number, size)))) {
      if (damage !== undefined) yield damage;
    }
  }

  async function tableDamage(number: number, size: number): Promise<FileDamage | undefined> {
    const [file, opened] = await openTable(location, number, signal);
    if (opened === undefined) {
      return live ? undefined : { file, offset: 0, problem: `is missing, though ${manifestFile} names it` };
    }
    try {
      if (opened.size !== size) {
        return {
          file,
          offset: Math.min(size, opened.size),
          problem: `has ${opened.size} bytes instead of ${size}`,
        };
      }
      const damage = await findTableDamage(opened, whole);
      return damage && { file, offset: damage.offset, problem: damage.problem };
    } finally {
      await opened.close();
    }
  }
}

/** Tables of early versions have another extension. */
async function openTable(
  location: string,
  number: number,
  signal: AbortSignal | undefined,
): Promise<[file: string, opened: SlicedFile | undefined]> {
  for (const file of [fileName(number, 'ldb'), fileName(number, 'sst')]) {
    const opened = await unlessMissing(SlicedFile.open(join(location, file), signal));
    if (opened !== undefined) return [file, opened];
  }
  return [fileName(number, 'ldb'), undefined];
}

function fileName(number: number, ending: string): string {
  return `${String(number).padStart(6, '0')}.${ending}`;
}

async function numbersOf(location: string, pattern: RegExp): Promise<number[]> {
  const numbers = (await readdir(location)).map((file) => Number(pattern.exec(file)?.[1]));
  return numbers.filter((number) => !Number.isNaN(number)).sort((a, b) => a - b);
}

async function unlessMissing<Result>(work: Promise<Result>): Promise<Result | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
