import { mkdir, readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ContextCacheError } from '../../core/errors.ts';
import { PrivateFiles } from './index/leveldb/private-files.ts';

/**
 * Takes the lock of a data directory: that of an empty LevelDB database in `directory`. Node has no lock on files, and LevelDB's ends
 * with the process. The index has a lock of its own, but it may have to be thrown away while the lock must be kept.
 */
export async function lockDirectory(directory: string, dataDir: string): Promise<() => Promise<void>> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // LevelDB tells directories apart by their spelling, and the system's locks do not separate two handles of one process.
  const location = await realpath(directory).catch(() => directory);
  const { ClassicLevel } = await import('classic-level');
  const database = new ClassicLevel(location, { compression: false, writeBufferSize: 64 * 1024 });
  try {
    await database.open().catch(async (error) => {
      if (isLocked(error)) throw error;
      await replace(location).catch(() => {
        throw error;
      });
      await database.open();
    });
    await new PrivateFiles(location).sweep();
  } catch (thrown) {
    const { cause } = thrown as { cause?: Error };
    if (cause !== undefined && isLocked(thrown)) throw await lockedError(dataDir, location, cause);
    const message = `${dataDir} cannot be locked: ${cause?.message ?? String(thrown)}. Check the disk and the permissions.`;
    throw new ContextCacheError('LOG_UNAVAILABLE', message, { cause: thrown });
  }
  return () => database.close();
}

/** Removes the files of the database, which holds nothing, because they may be damaged: all but the one that is locked. */
async function replace(location: string): Promise<void> {
  for (const file of await readdir(location)) if (file !== 'LOCK') await rm(join(location, file), { recursive: true });
}

function isLocked(error: unknown): boolean {
  return (error as { cause?: { code?: unknown } }).cause?.code === 'LEVEL_LOCKED';
}

/**
 * Makes the error of a data directory that is open already. It names the holder: this process, or another one with its
 * pid if the system tells it.
 *
 * @param path the data directory, as messages show it.
 * @param location the database in it, whose `LOCK` is held.
 * @param cause LevelDB's error, code `LEVEL_LOCKED`.
 */
async function lockedError(path: string, location: string, cause: Error): Promise<ContextCacheError> {
  // LevelDB keeps a table of its own, because the system's locks do not separate two handles of one process.
  if (cause.message.includes('already held by process')) {
    const remedy = 'Share the cache that has it open, or await its shutdown() first.';
    return new ContextCacheError('DIRECTORY_LOCKED', `${path} is in use by this process. ${remedy}`, { cause });
  }
  const pid = await holderOf(join(location, 'LOCK'));
  const holder = pid === undefined ? 'another process' : `process ${pid}`;
  const remedy = 'Stop it, or let it serve the directory (context-cache serve), so that other programs can use it too.';
  return new ContextCacheError('DIRECTORY_LOCKED', `${path} is in use by ${holder}. ${remedy}`, { cause });
}

/** Returns the pid of the process that holds the system's lock on a file; `undefined` if the system does not tell. */
export async function holderOf(file: string): Promise<number | undefined> {
  try {
    const { dev, ino } = await stat(file);
    const locks = await readFile('/proc/locks', 'utf8');
    // `1: POSIX  ADVISORY  WRITE 4711 fe:00:2146324 0 EOF`: pid, then device (hexadecimal) and inode.
    for (const [, pid, major = '', minor = '', inode] of locks.matchAll(
      /^\d+: POSIX +\S+ +WRITE (\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /gm,
    )) {
      const isFile = Number(inode) === ino && deviceOf(Number.parseInt(major, 16), Number.parseInt(minor, 16)) === dev;
      // 0 is a process outside of this container.
      if (isFile && Number(pid) > 0) return Number(pid);
    }
  } catch {
    // Only Linux has this file, and not every container shows it.
  }
  return undefined;
}

/** The number that `stat` gives a device on Linux: 12 bits of the major number between two parts of the minor one. */
function deviceOf(major: number, minor: number): number {
  return (minor & 0xff) + major * 256 + (minor - (minor & 0xff)) * 4_096;
}
