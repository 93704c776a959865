import { access, mkdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Clock } from '../../core/clock.ts';
import { untilAborted } from '../../core/deadline.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { DataDirectory } from './data-directory.ts';
import { nodeFiles } from './files.ts';

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
  readonly directory: DataDirectory;
  readonly #path: string;
  /** The outermost folder that was created for it; `undefined` if the directory existed. */
  readonly #created: string | undefined;

  private constructor(path: string, created: string | undefined, directory: DataDirectory) {
    this.#path = path;
    this.#created = created;
    this.directory = directory;
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
    const directory = await DataDirectory.open({ dataDir: join(path, STAGING), clock, sync });
    return new StagedDirectory(path, created, directory);
  }

  /**
   * Turns the folder into the directory's database.
   *
   * @throws the reason of `signal`; then call {@link StagedDirectory.discard}.
   */
  async finish(signal?: AbortSignal): Promise<void> {
    // Written now, so that the directory opens at once. If that fails, the next opening rebuilds the index.
    await this.directory.openIndex();
    signal?.throwIfAborted();
    const { index, log } = this.directory;
    await untilAborted(
      index.fold(log.committed).catch(() => undefined),
      signal,
    );
    await this.directory.close();
    signal?.throwIfAborted();
    try {
      await rename(join(this.#path, STAGING, 'db'), join(this.#path, 'db'));
    } catch (cause) {
      if (await exists(join(this.#path, 'db'))) throw notEmpty(this.#path, cause);
      throw unusable(this.#path, cause);
    }
    await nodeFiles.syncDirectory(this.#path);
    await rm(join(this.#path, STAGING), { recursive: true, force: true });
  }

  /** Restores the directory to what it was. May be called twice, and after {@link StagedDirectory.finish}. */
  async discard(): Promise<void> {
    // A failure to write does not matter any more.
    await this.directory.close().catch(() => undefined);
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
    const unlock = await nodeFiles.lock(join(leftovers, 'db', 'lock'), path);
    await unlock();
  } catch (error) {
    // Any other fault does not matter: the folder is removed.
    if (error instanceof ContextCacheError && error.code === 'DIRECTORY_LOCKED') throw error;
  }
  await rm(leftovers, { recursive: true, force: true });
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
