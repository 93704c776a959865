import { access, open, rename, rm, rmdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Clock } from '../../core/clock.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { LevelLog } from './log/level-log.ts';
import { StateTable } from './state/state-table.ts';

/** Beside the database of a data directory; holds one that is being made. */
const STAGING = 'replaying';

/** How a staged directory is made. */
export interface StagingSettings {
  readonly clock: Clock;
  readonly sync?: boolean | undefined;
}

/**
 * A data directory in the making. Everything is written to a place of its own inside the directory, and becomes its
 * database by one rename once it is whole: whenever the process ends, there is a whole database or none. What an
 * earlier one has left there when it was killed is removed.
 */
export class StagedDirectory {
  readonly log: LevelLog;
  readonly table: StateTable;
  readonly #path: string;

  private constructor(path: string, log: LevelLog, table: StateTable) {
    this.#path = path;
    this.log = log;
    this.table = table;
  }

  /**
   * @throws {ContextCacheError} `NOT_EMPTY` where there is a database already, `DIRECTORY_LOCKED` where somebody else
   *   is filling the directory, `LOG_UNAVAILABLE`.
   */
  static async create(dataDir: string, { clock, sync }: StagingSettings): Promise<StagedDirectory> {
    const path = resolve(dataDir);
    if (await exists(join(path, 'db'))) throw notEmpty(path);
    await removeLeftovers(path);
    const log = await LevelLog.open({ dataDir: join(path, STAGING), clock, sync });
    try {
      return new StagedDirectory(path, log, await StateTable.open(log, { clock }));
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  /** Makes it the directory's database. */
  async finish(): Promise<void> {
    await this.log.close();
    try {
      await rename(join(this.#path, STAGING, 'db'), join(this.#path, 'db'));
    } catch (cause) {
      if (await exists(join(this.#path, 'db'))) throw notEmpty(this.#path, cause);
      const message = `${this.#path} cannot be used: ${toError(cause).message}. See to the disk and the permissions.`;
      throw new ContextCacheError('LOG_UNAVAILABLE', message, { cause });
    }
    await syncDirectory(this.#path);
    await rm(join(this.#path, STAGING), { recursive: true, force: true });
  }

  /** Leaves the directory as it was. Twice, and after {@link StagedDirectory.finish}, is fine. */
  async discard(): Promise<void> {
    // What could not be written is not wanted any more.
    await this.log.close().catch(() => undefined);
    await rm(join(this.#path, STAGING), { recursive: true, force: true });
    // Not where it holds anything, which is not ours.
    await rmdir(this.#path).catch(() => undefined);
  }
}

/** A lock that is held says that somebody is still at work there. */
async function removeLeftovers(path: string): Promise<void> {
  const leftovers = join(path, STAGING);
  if (!(await exists(leftovers))) return;
  try {
    const log = await LevelLog.open({ dataDir: leftovers });
    await log.close();
  } catch (error) {
    // Whatever else is wrong with it, it is going to be removed.
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

function notEmpty(path: string, cause?: unknown): ContextCacheError {
  const message = `${path} already holds a database. Name a new or empty directory.`;
  return new ContextCacheError('NOT_EMPTY', message, { cause });
}
