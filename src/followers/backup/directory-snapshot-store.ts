import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ContextCacheError } from '../../core/errors.ts';
import { checkBlobName, type SnapshotStore } from './snapshot-store.ts';

/** Ends every file name, so that no blob becomes `.`, `..` or an unfinished file. */
const SUFFIX = '.blob';

/** Ends the name of a file that is being written; names of blobs cannot contain it. */
const UNFINISHED = '~';

/**
 * Keeps snapshots as files in a directory, which is created with mode 0700. Each blob is one file with mode 0600. It is
 * written under another name, synced and renamed, and the directory is synced: after a crash or a power cut the blob is
 * either new and complete or unchanged. One directory belongs to one cache, which is not checked.
 *
 * @example
 * ```ts
 * const manager = new BackupManager({ store: new DirectorySnapshotStore('./backups') });
 * ```
 */
export class DirectorySnapshotStore implements SnapshotStore {
  readonly description: string;
  readonly #path: string;
  /** The removal of unfinished files that a crash left, once. */
  #tidied: Promise<void> | undefined;
  #closed = false;

  /** @param path The directory. A relative path is resolved now, against the working directory. */
  constructor(path: string) {
    if (typeof path !== 'string' || path === '') {
      throw new ContextCacheError('INVALID_OPTION', 'A DirectorySnapshotStore needs the path of a directory.');
    }
    this.#path = resolve(path);
    this.description = `snapshots in the directory ${this.#path}`;
  }

  /** @throws {ContextCacheError} `BACKEND_FAILED` with the error of the file system as cause; all methods do. */
  async put(name: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    this.#check([name], signal);
    await this.#attempt(`store ${name}`, async () => {
      await mkdir(this.#path, { recursive: true, mode: 0o700 });
      this.#tidied ??= this.#tidy();
      await this.#tidied;
      await this.#replace(name, bytes, signal);
    });
  }

  async get(name: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    this.#check([name], signal);
    return await this.#attempt(`read ${name}`, () => unlessMissing(readFile(this.#file(name))));
  }

  async has(names: readonly string[], signal?: AbortSignal): Promise<boolean[]> {
    this.#check(names, signal);
    const there = new Set(await this.list('', signal));
    return names.map((name) => there.has(name));
  }

  async list(prefix: string, signal?: AbortSignal): Promise<string[]> {
    this.#check([], signal);
    const files = (await this.#attempt('list blobs', () => unlessMissing(readdir(this.#path)))) ?? [];
    const blobs = files.filter((file) => file.endsWith(SUFFIX)).map((file) => file.slice(0, -SUFFIX.length));
    return blobs.filter((name) => name.startsWith(prefix)).sort();
  }

  async remove(names: readonly string[], signal?: AbortSignal): Promise<void> {
    this.#check(names, signal);
    await this.#attempt('remove blobs', async () => {
      for (const name of names) {
        signal?.throwIfAborted();
        await unlessMissing(unlink(this.#file(name)));
      }
      await unlessMissing(syncDirectory(this.#path));
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #file(name: string): string {
    return join(this.#path, name + SUFFIX);
  }

  async #tidy(): Promise<void> {
    const left = (await readdir(this.#path)).filter((file) => file.endsWith(UNFINISHED));
    for (const file of left) await unlessMissing(unlink(join(this.#path, file)));
  }

  async #replace(name: string, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const unfinished = `${this.#file(name)}.${randomBytes(6).toString('hex')}${UNFINISHED}`;
    try {
      const file = await open(unfinished, 'wx', 0o600);
      try {
        await file.writeFile(bytes, signal === undefined ? {} : { signal });
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(unfinished, this.#file(name));
    } catch (error) {
      await unlessMissing(unlink(unfinished));
      throw error;
    }
    await syncDirectory(this.#path);
  }

  #check(names: readonly string[], signal: AbortSignal | undefined): void {
    if (this.#closed)
      throw new ContextCacheError('CLOSED', `The store of ${this.description} is closed. Make a new one.`);
    signal?.throwIfAborted();
    for (const name of names) checkBlobName(name);
  }

  async #attempt<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string' && cause.name !== 'AbortError') {
        const message = `Could not ${what} (${this.description}): ${cause.code}. Check that the directory can be written and has space.`;
        throw new ContextCacheError('BACKEND_FAILED', message, { cause });
      }
      throw cause;
    }
  }
}

/** Syncs the directory, which makes a rename or a removal durable. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function unlessMissing<Result>(work: Promise<Result>): Promise<Result | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
