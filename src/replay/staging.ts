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
  private constructor(staged: StagedDirectory) {
    this.#staged = staged;
    this.#writer = new LogWriter(staged.directory.log);
  }

  /** Throws as {@link StagedDirectory.create} does. */
  static async create(dataDir: string, settings: StagingSettings): Promise<StagedReplay> {
    return new StagedReplay(await StagedDirectory.create(dataDir, settings));
  }

  async begin({ states, position }: ReplayBase): Promise<void> {
    if (position === 0) return;
    await this.#staged.directory.adopt(states, position);
  }

  continues(log: string): Promise<void> {
    return noteContinues(this.#staged.directory.log.configStore, log);
  }

  write(updates: readonly PendingUpdate[]): Promise<void> {
    return this.#writer.write(updates);
  }

  /** Turns the result into the directory's database. */
  finish(): Promise<void> {
    return this.#staged.finish();
  }

  /** Restores the directory to what it was. May be called twice, and after {@link StagedReplay.finish}. */
  discard(): Promise<void> {
    return this.#staged.discard();
  }
}
