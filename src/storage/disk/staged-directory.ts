import { access, mkdir, open, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Clock } from '../../core/clock.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { LevelLog } from './log/level-log.ts';
import { StateTable } from './state/state-table.ts';

/** Folder beside the database of a data directory; holds a database that is being built. */
const STAGING = 'replaying';

/** Options of {@link StagedDirectory.create}. */
export interface StagingSettings {
  readonly clock: Clock;
  readonly sync?: boolean | undefined;
}

/**
 * A data directory under construction. Everything is written to a separate folder inside the directory, which becomes
 * its database by one rename when it is complete. Whenever the process ends, there is either a complete database or
 * none. The next call removes the folder of a killed process.
 */
export class StagedDirectory {
  readonly log: LevelLog;
  readonly table: StateTable;
  readonly #path: string;
  /** The outermost folder that was created for it; `undefined` if the directory existed. */
  readonly #created: string | undefined;

  private constructor(path: string, created: string | undefined, log: LevelLog, table: StateTable) {
    this.#path = path;
    this.#created = created;
    this.log = log;
    this.table = table;
  }

  /**
   * Prepares the folder.
   *
   * @throws {ContextCacheError} `NOT_EMPTY` if the directory already holds a database, `DIRECTORY_LOCKED` if another
   *   process is filling it, `LOG_UNAVAILABLE`.
   */
  static async create(dataDir: string, { clock, sync }: StagingSettings): Promise<StagedDirectory> {
    const path = resolve(dataDir);
    if (await exists(join(path, 'db'))) throw notEmpty(path);
    await removeLeftovers(path);
    const created = await mkdir(path, { recursive: true, mode: 0o700 }).catch((cause) => {
      throw unusable(path, cause);
    });
    const log = await LevelLog.open({ dataDir: join(path, STAGING), clock, sync });
    try {
      return new StagedDirectory(path, created, log, await StateTable.open(log, { clock }));
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  /** Turns the folder into the directory's database. */
  async finish(): Promise<void> {
    await this.log.close();
    try {
      await rename(join(this.#path, STAGING, 'db'), join(this.#path, 'db'));
    } catch (cause) {
      if (await exists(join(this.#path, 'db'))) throw notEmpty(this.#path, cause);
      throw unusable(this.#path, cause);
    }
    await syncDirectory(this.#path);
    await rm(join(this.#path, STAGING), { recursive: true, force: true });
  }

  /** Restores the directory to what it was. May be called twice, and after {@link StagedDirectory.finish}. */
  async discard(): Promise<void> {
    // A failure to write does not matter any more.
    await this.log.close().catch(() => undefined);
    await rm(join(this.#path, STAGING), { recursive: true, force: true });
    // Fails if a folder holds anything, which then belongs to the user.
    for (let folder = this.#path; ; folder = dirname(folder)) {
      const isRemoved = await rmdir(folder).then(
        () => true,
        () => false,
      );
      if (!isRemoved || folder === (this.#created ?? this.#path)) return;
    }
  }
}

/** Removes what an earlier process has left. A held lock means that another process is still filling it. */
async function removeLeftovers(path: string): Promise<void> {
  const leftovers = join(path, STAGING);
  if (!(await exists(leftovers))) return;
  try {
    const log = await LevelLog.open({ dataDir: leftovers });
    await log.close();
  } catch (error) {
    // Any other fault does not matter: the folder is removed.
    if (error instanceof ContextCacheError && error.code === 'DIRECTORY_LOCKED') throw error;
  }
  await rm(leftovers, { recursive: true, force: true });
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function unusable(path: string, cause: unknown): ContextCacheError {
  const message = `${path} cannot be used: ${toError(cause).message}. Check the disk and the permissions.`;
  return new ContextCacheError('LOG_UNAVAILABLE', message, { cause });
}

function notEmpty(path: string, cause?: unknown): ContextCacheError {
  const message = `${path} already holds a database. Name a new or empty directory.`;
  return new ContextCacheError('NOT_EMPTY', message, { cause });
}
