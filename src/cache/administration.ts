import type { BackupStatus } from '../backup/backup-sink.ts';
import type { SnapshotInfo } from '../backup/snapshot-format.ts';
import type { BackupSettings } from '../core/command.ts';
import type { History } from './history.ts';
import { PastReader } from './past-reader.ts';
import type { CompactOptions, CompactReport, Retention } from './retention.ts';
import type { Settings } from './settings.ts';
import type { NamespaceTypes } from './types.ts';

/** What is set and looked after while a cache runs. */
export abstract class Administration<S extends NamespaceTypes> extends PastReader<S> {
  readonly #settings: Settings;
  readonly #retention: Retention;

  /** @internal */
  constructor(history: History, settings: Settings, retention: Retention) {
    super(history);
    this.#settings = settings;
    this.#retention = retention;
  }

  /** Topics that updates are broadcast to from now on, in place of those there are. */
  setTopicsList(topics: readonly string[]): Promise<void> {
    return this.#settings.setTopicsList(topics);
  }

  getTopicsList(): string[] {
    return this.#settings.getTopicsList();
  }

  /** The topic gets what comes after this. */
  addTopic(topic: string): Promise<void> {
    return this.#settings.addTopic(topic);
  }

  removeTopic(topic: string): Promise<void> {
    return this.#settings.removeTopic(topic);
  }

  /** Takes snapshots by itself from now on. */
  enableBackup(settings?: Partial<BackupSettings>): Promise<void> {
    return this.#settings.enableBackup(settings);
  }

  disableBackup(): Promise<void> {
    return this.#settings.disableBackup();
  }

  isBackupEnabled(): boolean {
    return this.#settings.isBackupEnabled();
  }

  setBackupSettings(settings: Partial<BackupSettings>): Promise<void> {
    return this.#settings.setBackupSettings(settings);
  }

  getBackupSettings(): BackupSettings {
    return this.#settings.getBackupSettings();
  }

  getBackupStatus(): BackupStatus {
    return this.#settings.getBackupStatus();
  }

  /**
   * Lets go of the updates, and of the moments of the past, that are not to be kept, and gives their place back to the
   * disk. What to keep is said here or, where nothing is, by the options that the cache was opened with (`log`). Nothing
   * goes that a follower has still to get or a view in use shows; the report says what is in the way.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` (also where nothing says what to keep), `NOT_FOUND` for a name in
   *   `forget` that has left no checkpoint, `LOG_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `LOG_CORRUPT`, `TIMED_OUT`, `CLOSED`.
   * @example
   * ```ts
   * const { first, removed, heldBy } = await cache.compact({ keepUpdates: 100_000 });
   * ```
   */
  compact(options?: CompactOptions): Promise<CompactReport> {
    return this.#retention.compact(options);
  }

  /** Takes a snapshot now, whatever the settings say. */
  backup(options: { readonly signal?: AbortSignal } = {}): Promise<SnapshotInfo> {
    return this.#settings.backup.backupNow(options);
  }
}
