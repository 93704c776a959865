import type { BackupStatus } from '../backup/backup-sink.ts';
import type { SnapshotInfo } from '../backup/snapshot-format.ts';
import type { BackupSettings } from '../core/command.ts';
import type { Digests } from './digests.ts';
import type { History } from './history.ts';
import { PastReader } from './past-reader.ts';
import type { Settings } from './settings.ts';
import type { NamespaceOf, NamespaceTypes } from './types.ts';

/** What is set and looked after while a cache runs. */
export abstract class Administration<S extends NamespaceTypes> extends PastReader<S> {
  readonly #settings: Settings;
  readonly #digests: Digests;

  /** @internal */
  constructor(history: History, settings: Settings, digests: Digests) {
    super(history);
    this.#settings = settings;
    this.#digests = digests;
  }

  /**
   * The digest of a namespace, or of all of them at one position: 64 hexadecimal digits. Two caches with equal digests
   * hold equal state: the same values (in their properties' order), versions, instants, agents and expiries under the
   * same keys. Positions are not part of it. An entry whose time is over is in it until it is taken out, as it is in a
   * view. With a primary of the user's own the values are that one's, and not in it.
   *
   * In memory the first question hashes every entry, with turns for others in between; from then on only keys that have
   * changed are hashed again, of each of which the earlier entry is kept until the next question. In a data directory
   * digests are kept up to date by the checkpointer. Throws (as a rejection) `INVALID_NAME`, `CLOSED`, and what reading
   * a directory does.
   *
   * @example
   * ```ts
   * if ((await cache.digest('trip')) !== (await replayed.digest('trip'))) console.error('not the same');
   * ```
   */
  async digest(namespace?: NamespaceOf<S>): Promise<string> {
    return namespace === undefined ? this.#digests.all() : this.#digests.of(namespace);
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
