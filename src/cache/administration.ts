import type { BackupSettings } from '../core/command.ts';
import type { Inspection } from '../engine/inspection.ts';
import type { Settings } from '../engine/settings.ts';
import type { BackupStatus } from '../followers/backup/backup-sink.ts';
import type { SnapshotInfo } from '../followers/backup/snapshot-format.ts';
import type { Digests } from '../past/digests.ts';
import type { History } from '../past/history.ts';
import type { CompactOptions, CompactReport, Retention } from '../storage/retention.ts';
import type { Verifier } from '../verify/verify.ts';
import type { VerifyOptions, VerifyReport } from '../verify/verify-report.ts';
import { PastReader } from './past-reader.ts';
import type { NamespaceOf, NamespaceTypes } from './types.ts';

/** Those who look after what is stored. */
interface Keepers {
  readonly digests: Digests;
  readonly verifier: Verifier;
  readonly retention: Retention;
  readonly inspection: Inspection;
}

/** What is set and looked after while a cache runs. */
export abstract class Administration<S extends NamespaceTypes> extends PastReader<S> {
  /** For tools that show a cache. */
  readonly inspection: Inspection;
  readonly #settings: Settings;
  readonly #digests: Digests;
  readonly #verifier: Verifier;
  readonly #retention: Retention;

  /** @internal */
  constructor(history: History, settings: Settings, { digests, verifier, retention, inspection }: Keepers) {
    super(history);
    this.#settings = settings;
    this.#digests = digests;
    this.#verifier = verifier;
    this.#retention = retention;
    this.inspection = inspection;
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

  /**
   * Looks whether everything is as it was written, while writers go on. With a data directory: every file of the
   * database and every record in it; the log without a gap; what each namespace's updates, folded again, lead to, against
   * the state on disk, the copies in the past, and the namespaces in memory; snapshots in the directory. In memory: the
   * log folded again, while it holds everything. With `against` also a mirror or a backup, key by key, at the position
   * that it has got to.
   *
   * Changes and repairs nothing. It reads everything once or twice, and holds one namespace at a time in memory.
   *
   * @throws {ContextCacheError} (as a rejection) where it cannot be looked at: `LOG_UNAVAILABLE`, `CLOSED`; of
   *   `against` `NOT_FOUND`, `UNREACHABLE`, `TIMED_OUT`, `INVALID_OPTION`, `POSITION_UNAVAILABLE`.
   *
   * @example
   * ```ts
   * const report = await cache.verify({ against: 'redis://127.0.0.1:6379' });
   * for (const { message, where } of report.problems) console.error(message, where);
   * ```
   */
  verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    return this.#verifier.verify(options);
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
