import { access, open, rename, rm, rmdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import type { PendingUpdate, Update } from '../core/update.ts';
import { LevelLog } from '../log/level-log.ts';
import { StateTable } from '../log/state-table.ts';
import { weigh } from '../log/update-ring.ts';
import type { ReplayTarget } from './fill.ts';
import { LogWriter, WINDOW_BYTES } from './log-writer.ts';
import type { ReplayBase } from './source.ts';

/** Beside the database of a data directory; holds one that is being made. */
const STAGING = 'replaying';

/** How a staged directory is made. */
export interface StagingSettings {
  readonly clock: Clock;
  readonly sync?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Updates that the state table takes at once: many, so that what changes often is written once. */
const TABLE_UPDATES = 32_768;

/**
 * A data directory in the making. Everything is written to a place of its own inside the directory, and becomes its
 * database by one rename once it is whole: whenever the process ends, there is a whole database or none. What an
 * earlier replay has left there when it was killed is removed.
 */
export class StagedDirectory implements ReplayTarget {
  readonly #path: string;
  readonly #log: LevelLog;
  readonly #writer: LogWriter;
  readonly #table: StateTable;
  readonly #signal: AbortSignal | undefined;
  /** What the log has and the table has not. */
  #pending: Update[] = [];
  #pendingBytes = 0;

  private constructor(path: string, log: LevelLog, table: StateTable, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#log = log;
    this.#writer = new LogWriter(log);
    this.#table = table;
    this.#signal = signal;
  }

  /**
   * @throws {ContextCacheError} `NOT_EMPTY` where there is a database already, `DIRECTORY_LOCKED` where another replay
   *   is filling the directory, `LOG_UNAVAILABLE`.
   */
  static async create(dataDir: string, { clock, sync, signal }: StagingSettings): Promise<StagedDirectory> {
    const path = resolve(dataDir);
    if (await exists(join(path, 'db'))) throw notEmpty(path);
    await removeLeftovers(path);
    const log = await LevelLog.open({ dataDir: join(path, STAGING), clock, sync });
    try {
      return new StagedDirectory(path, log, await StateTable.open(log, { clock }), signal);
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  async begin({ states, position }: ReplayBase): Promise<void> {
    if (position === 0) return;
    await this.#table.adopt(states, position, this.#signal);
    await this.#log.beginAfter(position);
  }

  async write(updates: readonly PendingUpdate[]): Promise<void> {
    await this.#writer.write(updates);
    for (const update of updates) {
      this.#pending.push(update);
      this.#pendingBytes += weigh(update);
    }
    if (this.#pending.length >= TABLE_UPDATES || this.#pendingBytes >= WINDOW_BYTES) await this.#fold();
  }

  /** Makes it the directory's database. */
  async finish(): Promise<void> {
    await this.#fold();
    await this.#log.close();
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
    await this.#log.close().catch(() => undefined);
    await rm(join(this.#path, STAGING), { recursive: true, force: true });
    // Not where it holds anything, which is not ours.
    await rmdir(this.#path).catch(() => undefined);
  }

  /** The state table, and with it the past, is never ahead of the log. */
  async #fold(): Promise<void> {
    const updates = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    await this.#log.flush();
    await this.#table.applyUpdates(updates, this.#log.head, this.#signal);
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
  const message = `${path} already holds a database. Replay into a new or empty directory.`;
  return new ContextCacheError('NOT_EMPTY', message, { cause });
}
