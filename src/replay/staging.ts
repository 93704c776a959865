import type { PendingUpdate } from '../core/update.ts';
import { noteContinues } from '../engine/storage.ts';
import { StagedDirectory, type StagingSettings } from '../storage/disk/staged-directory.ts';
import type { ReplayTarget } from './fill.ts';
import { LogWriter } from './log-writer.ts';
import type { ReplayBase } from './source.ts';

/** Fills a data directory that does not exist until it is complete. */
export class StagedReplay implements ReplayTarget {
  readonly #staged: StagedDirectory;
  readonly #writer: LogWriter;
  readonly #signal: AbortSignal | undefined;

  private constructor(staged: StagedDirectory, signal: AbortSignal | undefined) {
    this.#staged = staged;
    this.#signal = signal;
    this.#writer = new LogWriter(staged.directory.log);
  }

  /** Throws as {@link StagedDirectory.create} does. */
  static async create(
    dataDir: string,
    settings: StagingSettings & { readonly signal?: AbortSignal | undefined },
  ): Promise<StagedReplay> {
    return new StagedReplay(await StagedDirectory.create(dataDir, settings), settings.signal);
  }

  async begin(base: ReplayBase): Promise<void> {
    if (base.position === 0) return;
    await this.#staged.directory.adopt(unlessAborted(base.states, this.#signal), base.position, base);
  }

  continues(log: string): Promise<void> {
    return noteContinues(this.#staged.directory.log.configStore, log);
  }

  write(updates: readonly PendingUpdate[]): Promise<void> {
    return this.#writer.write(updates);
  }

  /** Turns the result into the directory's database. */
  finish(): Promise<void> {
    return this.#staged.finish(this.#signal);
  }

  /** Restores the directory to what it was. May be called twice, and after {@link StagedReplay.finish}. */
  discard(): Promise<void> {
    return this.#staged.discard();
  }
}

function* unlessAborted<Item>(items: Iterable<Item>, signal: AbortSignal | undefined): Generator<Item> {
  for (const item of items) {
    signal?.throwIfAborted();
    yield item;
  }
}
