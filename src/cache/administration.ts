import type { BackupStatus } from '../backup/backup-sink.ts';
import type { SnapshotInfo } from '../backup/snapshot-format.ts';
import type { BackupSettings } from '../core/command.ts';
import type { History } from './history.ts';
import { PastReader } from './past-reader.ts';
import type { Settings } from './settings.ts';
import type { NamespaceTypes } from './types.ts';

/** What is set and looked after while a cache runs. */
export abstract class Administration<S extends NamespaceTypes> extends PastReader<S> {
  readonly #settings: Settings;

  /** @internal */
  constructor(history: History, settings: Settings) {
    super(history);
    this.#settings = settings;
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

  /** Takes a snapshot now, whatever the settings say. */
  backup(options: { readonly signal?: AbortSignal } = {}): Promise<SnapshotInfo> {
    return this.#settings.backup.backupNow(options);
  }
}
