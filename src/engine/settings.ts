import type { BackupSettings, BackupSettingsChange } from '../core/command.ts';
import { ContextCacheError } from '../core/errors.ts';
import { mergeBackupSettings } from '../followers/backup/backup-settings.ts';
import type { BackupSink, BackupStatus } from '../followers/backup/backup-sink.ts';
import type { SnapshotInfo } from '../followers/backup/snapshot-format.ts';
import { TopicsListConfig } from '../followers/broadcast/topics.ts';
import { type Engine, FOLLOWER } from './engine.ts';

/** The settings that can change while the cache runs: topics and backup. A data directory stores them. */
export class Settings {
  readonly #parts: Engine;

  constructor(parts: Engine) {
    this.#parts = parts;
  }

  getTopicsList(): string[] {
    return this.#parts.topics.list();
  }

  setTopicsList(topics: readonly string[]): Promise<void> {
    return this.#changeTopics((list, head) => list.set(topics, head));
  }

  addTopic(topic: string): Promise<void> {
    return this.#changeTopics((list, head) => list.add(topic, head));
  }

  removeTopic(topic: string): Promise<void> {
    return this.#changeTopics((list) => list.remove(topic));
  }

  enableBackup(settings: BackupSettingsChange = {}): Promise<void> {
    return this.#changeBackup(true, settings);
  }

  disableBackup(): Promise<void> {
    return this.#changeBackup(false, {});
  }

  isBackupEnabled(): boolean {
    return this.#parts.backup?.isEnabled() ?? false;
  }

  setBackupSettings(settings: BackupSettingsChange): Promise<void> {
    return this.#changeBackup(this.backup.isEnabled(), settings);
  }

  /** Takes a snapshot: in a cluster with a shared store on the node that holds the lease. */
  backupNow(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<SnapshotInfo> {
    const { backup } = this;
    const { sequencer, duties } = this.#parts;
    if (sequencer === undefined || !duties.includes(FOLLOWER.backup)) return backup.backupNow(options);
    return sequencer.snapshot(options.signal);
  }

  /** Changes the topics here, or, in a cluster, on all nodes: each topic is a setting of its own. */
  async #changeTopics(change: (topics: TopicsListConfig, head: number) => void): Promise<void> {
    const { sequencer, topics, log } = this.#parts;
    if (sequencer === undefined) {
      change(topics, log.head);
      await this.#parts.topicsChanged();
      return;
    }
    const next = new TopicsListConfig(topics.entries());
    change(next, log.head);
    const kept = new Set(next.list());
    const before = new Set(topics.list());
    const removed = topics.list().filter((topic) => !kept.has(topic));
    const added = next.entries().filter(({ topic }) => !before.has(topic));
    await Promise.all([
      ...removed.map((topic) => sequencer.configure(`topic/${topic}`, null)),
      ...added.map(({ topic, since }) => sequencer.configure(`topic/${topic}`, since)),
    ]);
  }

  /** Changes the backup here, or, in a cluster with a shared store, on all nodes. */
  async #changeBackup(enabled: boolean, change: BackupSettingsChange): Promise<void> {
    const { backup } = this;
    const { sequencer, duties } = this.#parts;
    if (sequencer !== undefined && duties.includes(FOLLOWER.backup)) {
      const settings = { ...mergeBackupSettings(backup.getSettings(), change) };
      await sequencer.configure('backup', { enabled, settings });
      return;
    }
    backup.setSettings(change);
    if (enabled) backup.enable();
    else backup.disable();
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
