import type { BackupSettings, BackupSettingsChange } from '../core/command.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { BackupSink, BackupStatus } from '../followers/backup/backup-sink.ts';
import type { Engine } from './engine.ts';

/** The settings that can change while the cache runs: topics and backup. A data directory stores them. */
export class Settings {
  readonly #parts: Engine;

  constructor(parts: Engine) {
    this.#parts = parts;
  }

  getTopicsList(): string[] {
    return this.#parts.topics.list();
  }

  async setTopicsList(topics: readonly string[]): Promise<void> {
    this.#parts.topics.set(topics, this.#parts.log.head);
    await this.#parts.topicsChanged();
  }

  async addTopic(topic: string): Promise<void> {
    this.#parts.topics.add(topic, this.#parts.log.head);
    await this.#parts.topicsChanged();
  }

  async removeTopic(topic: string): Promise<void> {
    this.#parts.topics.remove(topic);
    await this.#parts.topicsChanged();
  }

  async enableBackup(settings: BackupSettingsChange = {}): Promise<void> {
    this.backup.enable(settings);
    await this.#parts.backupChanged();
  }

  async disableBackup(): Promise<void> {
    this.backup.disable();
    await this.#parts.backupChanged();
  }

  isBackupEnabled(): boolean {
    return this.#parts.backup?.isEnabled() ?? false;
  }

  async setBackupSettings(settings: BackupSettingsChange): Promise<void> {
    this.backup.setSettings(settings);
    await this.#parts.backupChanged();
  }

  getBackupSettings(): BackupSettings {
    return this.backup.getSettings();
  }

  getBackupStatus(): BackupStatus {
    return this.backup.status();
  }

  /** @throws {ContextCacheError} `INVALID_OPTION` if the cache has no store for snapshots. */
  get backup(): BackupSink {
    const { backup } = this.#parts;
    if (backup !== undefined) return backup;
    throw new ContextCacheError(
      'INVALID_OPTION',
      'The cache has no store for snapshots. Give backup.store, redisUrl or a data directory.',
    );
  }
}
