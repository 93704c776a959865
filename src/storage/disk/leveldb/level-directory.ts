import { mkdir, open, readdir, realpath } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ContextCacheError, toError } from '../../../core/errors.ts';
import { Listeners, throwOutside } from '../../log-signals.ts';
import { createLog, identityWrite, type LogIdentity, readIdentity } from './level-identity.ts';
import type {
  KeyRange,
  LevelStorage,
  OpenStorage,
  StorageRange,
  StorageSnapshot,
  StorageWrite,
} from './level-storage.ts';
import { lockedError } from './locked.ts';
import { PinnedStorage } from './pinned-storage.ts';
import { corrupt } from './sealed.ts';

/** `entries` stops after this many bytes, which bounds its memory to one large record more. */
const CHUNK_BYTES = 1024 * 1024;

/**
 * The storage of one data directory. It may fail and be reopened while others use it. After a failed write nothing more
 * is written on that handle; reads that a change of handles interrupts are repeated.
 */
export class LevelDirectory {
  /** Absolute path of the data directory. */
  readonly path: string;
  /** Called when a write has failed. Writes are refused from then on until {@link LevelDirectory.reopen}. */
  readonly onBroken = new Listeners<[cause: Error]>(throwOutside);
  readonly #openStorage: OpenStorage;
  readonly #reopened: (() => Promise<void>)[] = [];
  /** Path of the database, as returned by {@link canonical}. */
  readonly #location: string;
  #identity: LogIdentity;
  /** `undefined` between two handles. */
  #storage: LevelStorage | undefined;
  #broken: Error | undefined;
  #closed = false;
  /** Callbacks of reads that wait for the next handle. */
  #waiting: (() => void)[] = [];

  private constructor(
    path: string,
    location: string,
    openStorage: OpenStorage,
    storage: LevelStorage,
    identity: LogIdentity,
  ) {
    this.path = path;
    this.#location = location;
    this.#openStorage = openStorage;
    this.#storage = storage;
    this.#identity = identity;
  }

  /**
   * Opens the data directory, or creates it with mode 0700.
   *
   * @throws {ContextCacheError} `DIRECTORY_LOCKED`, `FORMAT_UNSUPPORTED`, `LOG_CORRUPT`, `LOG_UNAVAILABLE`.
   */
  static async open(dataDir: string, openStorage: OpenStorage): Promise<LevelDirectory> {
    const path = resolve(dataDir);
    const named = join(path, 'db');
    const create = await (openStorage.prepare ?? prepare)(path, named);
    // An engine that prepares its own storage keeps it elsewhere, so there is no directory to resolve.
    const location = openStorage.prepare === undefined ? await canonical(named) : named;
    const storage = await openStorage(location, create).catch(async (cause) => {
      throw await explainOpening(path, location, cause);
    });
    try {
      const identity = (await readIdentity(storage, path)) ?? (await createLog(storage));
      return new LevelDirectory(path, location, openStorage, storage, identity);
    } catch (error) {
      await storage.close();
      throw error instanceof ContextCacheError ? error : explain(path, error);
    }
  }

  /** Id and start of the log. */
  get identity(): LogIdentity {
    return this.#identity;
  }

  /** The reason why writes are refused at present; `undefined` if they are not. */
  get broken(): Error | undefined {
    return this.#broken;
  }

  /**
   * Writes a batch as a whole or not at all. Reports a failure to `onBroken` before it rejects.
   *
   * @throws {ContextCacheError} `OUTCOME_UNKNOWN` if the write fails, `LOG_UNAVAILABLE`, `CLOSED`.
   */
  write(writes: readonly StorageWrite[], sync: boolean): Promise<void> {
    return this.#writing((storage) => storage.batch(writes, sync));
  }

  /** Removes the records of a range, not all at once. Fails as {@link LevelDirectory.write} does. */
  clear(range: KeyRange): Promise<void> {
    return this.#writing((storage) => storage.clear(range));
  }

  /** Returns the space of removed records in a range to the disk. Fails as {@link LevelDirectory.write} does. */
  compact(range: KeyRange): Promise<void> {
    return this.#writing((storage) => storage.compact(range));
  }

  async #writing(change: (storage: LevelStorage) => Promise<void>): Promise<void> {
    const storage = this.#storage;
    if (this.#closed) throw this.#closedError();
    if (storage === undefined || this.#broken !== undefined) throw this.#unavailable();
    try {
      await change(storage);
    } catch (thrown) {
      const cause = toError(thrown);
      if (this.#storage === storage) this.fail(cause);
      throw new ContextCacheError('OUTCOME_UNKNOWN', `Writing to ${this.path} failed: ${cause.message}`, { cause });
    }
  }

  /** Refuses writes from now on. */
  fail(cause: Error): void {
    if (this.#broken !== undefined || this.#closed) return;
    this.#broken = cause;
    this.onBroken.emit(cause);
  }

  /** Stores the log's identity with a new start. */
  async beginAfter(position: number): Promise<void> {
    const identity = { ...this.#identity, begin: position };
    await createLog({ batch: (writes, sync) => this.write(writes, sync) }, identity);
    this.#identity = identity;
  }

  /**
   * Makes the log start after `position` from the call on, in memory at once. Stores `writes` in the same batch. If
   * that fails, the storage may still have an earlier start.
   */
  async raiseBegin(position: number, writes: readonly StorageWrite[]): Promise<void> {
    this.#identity = { ...this.#identity, begin: Math.max(position, this.#identity.begin) };
    await this.write([identityWrite(this.#identity), ...writes], true);
  }

  getSync(key: string, snapshot?: StorageSnapshot): Uint8Array | undefined {
    if (this.#storage === undefined) throw this.#closed ? this.#closedError() : this.#unavailable();
    try {
      return this.#storage.getSync(key, snapshot);
    } catch (cause) {
      throw explain(this.path, cause);
    }
  }

  /** Returns `undefined` between two handles. */
  snapshot(): StorageSnapshot | undefined {
    return this.#storage?.snapshot();
  }

  /**
   * Returns the storage as it is now, unaffected by later writes. The caller closes it.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE` between two handles, `CLOSED`.
   */
  pin(): PinnedStorage {
    if (this.#storage === undefined) throw this.#closed ? this.#closedError() : this.#unavailable();
    return new PinnedStorage(this.#storage, this.path);
  }

  getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    return this.#reading((storage) => storage.getMany(keys));
  }

  /** Reads the first entries of a range: about a mebibyte, and at least one entry if there is any. */
  entries(range: StorageRange): Promise<(readonly [string, Uint8Array])[]> {
    return this.#reading(async (storage) => {
      const entries: (readonly [string, Uint8Array])[] = [];
      let bytes = 0;
      for await (const entry of storage.entries(range)) {
        entries.push(entry);
        bytes += entry[1].length;
        if (bytes >= CHUNK_BYTES) break;
      }
      return entries;
    });
  }

  /** Adds a task that every {@link LevelDirectory.reopen} awaits before writes are possible again. */
  onReopened(task: () => Promise<void>): void {
    this.#reopened.push(task);
  }

  /** Closes the failed handle and opens a new one. */
  async reopen(): Promise<void> {
    const failed = this.#storage;
    this.#storage = undefined;
    await failed?.close();
    if (this.#closed) throw this.#closedError();
    const storage = await this.#openStorage(this.#location, false).catch(async (cause) => {
      throw await explainOpening(this.path, this.#location, cause);
    });
    if (this.#closed) {
      await storage.close();
      throw this.#closedError();
    }
    this.#storage = storage;
    this.#release();
    const identity = await readIdentity(storage, this.path);
    if (identity?.id !== this.#identity.id) throw corrupt(`${this.path} holds a different log than before`);
    for (const task of this.#reopened) await task();
    this.#broken = undefined;
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#closed = true;
    const storage = this.#storage;
    this.#storage = undefined;
    this.#release();
    await storage?.close();
  }

  async #reading<Result>(read: (storage: LevelStorage) => Promise<Result>): Promise<Result> {
    for (;;) {
      if (this.#closed) throw this.#closedError();
      const storage = this.#storage;
      if (storage === undefined) {
        await new Promise<void>((release) => this.#waiting.push(release));
        continue;
      }
      try {
        return await read(storage);
      } catch (cause) {
        if (this.#storage === storage) throw explain(this.path, cause);
      }
    }
  }

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const release of waiting) release();
  }

  #unavailable(): ContextCacheError {
    const why = this.#broken?.message ?? 'it is being reopened';
    const message = `${this.path} accepts no writes at present: ${why}. It recovers by itself; check the disk.`;
    return new ContextCacheError('LOG_UNAVAILABLE', message, { cause: this.#broken });
  }

  #closedError(): ContextCacheError {
    return new ContextCacheError('CLOSED', `${this.path} has been closed. Open it again.`);
  }
}

/** Creates the directories. Returns whether a new database must be created. */
async function prepare(path: string, location: string): Promise<boolean> {
  try {
    const made = await mkdir(location, { recursive: true, mode: 0o700 });
    // A synced file is lost all the same if the directory that names it is not synced.
    if (made !== undefined) for (const directory of [path, dirname(path)]) await syncDirectory(directory);
    const files = await readdir(location);
    if (files.includes('CURRENT')) return false;
    // LevelDB would take this for a new database and remove what is left of the old one.
    if (files.some((file) => /\.(ldb|sst|log)$/.test(file))) throw corrupt(`${location} has no file CURRENT`);
    return true;
  } catch (error) {
    throw error instanceof ContextCacheError ? error : explain(path, error);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Resolves symbolic links. LevelDB tells directories apart by their spelling, and the system's locks do not separate
 * two handles of one process, so two caches of one process would write one database under two names.
 */
export function canonical(location: string): Promise<string> {
  // A test may keep its storage elsewhere.
  return realpath(location).catch(() => location);
}

/** Explains an error as {@link explain} does; for a held lock the error names its holder. */
async function explainOpening(path: string, location: string, thrown: unknown): Promise<ContextCacheError> {
  const { cause } = thrown as { cause?: Error & { code?: unknown } };
  return cause?.code === 'LEVEL_LOCKED' ? lockedError(path, location, cause) : explain(path, thrown);
}

function explain(path: string, thrown: unknown): ContextCacheError {
  if (thrown instanceof ContextCacheError) return thrown;
  const error = toError(thrown);
  const cause = error.cause === undefined ? error : toError(error.cause);
  const code = (cause as { code?: unknown }).code;
  const fileMissing = code === 'LEVEL_IO_ERROR' && cause.message.includes('No such file');
  if (code === 'LEVEL_CORRUPTION' || fileMissing)
    return corrupt(`The database in ${path} is damaged (${cause.message})`, cause);
  const remedy = 'Check the disk, the permissions and the path.';
  return new ContextCacheError('LOG_UNAVAILABLE', `${path} cannot be used: ${cause.message}. ${remedy}`, { cause });
}

/** Reads every record of a range, in order, about a mebibyte at a time. */
export async function* readAll(
  directory: LevelDirectory,
  range: Pick<StorageRange, 'gte' | 'lt'>,
): AsyncGenerator<readonly [string, Uint8Array]> {
  let { gte } = range;
  for (;;) {
    const entries = await directory.entries({ gte, lt: range.lt });
    yield* entries;
    const last = entries.at(-1);
    if (last === undefined) return;
    gte = `${last[0]}\0`;
  }
}
