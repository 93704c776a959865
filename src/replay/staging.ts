import type { PendingUpdate, Update } from '../core/update.ts';
import { noteContinues } from '../engine/storage.ts';
import { StagedDirectory, type StagingSettings } from '../storage/disk/staged-directory.ts';
import { weigh } from '../storage/update-ring.ts';
import type { ReplayTarget } from './fill.ts';
import { LogWriter, WINDOW_BYTES } from './log-writer.ts';
import type { ReplayBase } from './source.ts';

/** Updates that the state table takes at a time. Many, so that a key that changes often is written once. */
const TABLE_UPDATES = 32_768;

/** Fills a data directory that does not exist until it is complete. */
export class StagedReplay implements ReplayTarget {
  readonly #staged: StagedDirectory;
  readonly #writer: LogWriter;
  readonly #signal: AbortSignal | undefined;
  /** Updates that are in the log and not yet in the table. */
  #pending: Update[] = [];
  #pendingBytes = 0;

  private constructor(staged: StagedDirectory, signal: AbortSignal | undefined) {
    this.#staged = staged;
    this.#writer = new LogWriter(staged.log);
    this.#signal = signal;
  }

  /** Throws as {@link StagedDirectory.create} does. */
  static async create(
    dataDir: string,
    settings: StagingSettings & { readonly signal?: AbortSignal | undefined },
  ): Promise<StagedReplay> {
    return new StagedReplay(await StagedDirectory.create(dataDir, settings), settings.signal);
  }

  async begin({ states, position }: ReplayBase): Promise<void> {
    if (position === 0) return;
    await this.#staged.table.adopt(states, position, this.#signal);
    await this.#staged.log.beginAfter(position);
  }

  continues(log: string): Promise<void> {
    return noteContinues(this.#staged.log.configStore, log);
  }

  async write(updates: readonly PendingUpdate[]): Promise<void> {
    await this.#writer.write(updates);
    for (const update of updates) {
      this.#pending.push(update);
      this.#pendingBytes += weigh(update);
    }
    if (this.#pending.length >= TABLE_UPDATES || this.#pendingBytes >= WINDOW_BYTES) await this.#fold();
  }

  /** Turns the result into the directory's database. */
  async finish(): Promise<void> {
    await this.#fold();
    await this.#staged.finish();
  }

  /** Restores the directory to what it was. May be called twice, and after {@link StagedReplay.finish}. */
  discard(): Promise<void> {
    return this.#staged.discard();
  }

  /** Flushes the log first, because the state table, and with it the past, must never be ahead of it. */
  async #fold(): Promise<void> {
    const updates = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    await this.#staged.log.flush();
    await this.#staged.table.applyUpdates(updates, this.#staged.log.head, this.#signal);
  }
}
