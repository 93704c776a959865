import type { Owner } from '../../backends/owner.ts';
import { type Clock, systemClock } from '../../core/clock.ts';
import type { BackupSettings, BackupSettingsChange } from '../../core/command.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { optionNames } from '../../core/options.ts';
import type { StateCapture } from '../../storage/follower-sink.ts';
import { DEFAULT_BACKUP_SETTINGS, mergeBackupSettings } from './backup-settings.ts';
import { infoOf, type Manifest, parseSnapshotId, partIds, type SnapshotInfo, snapshotId } from './snapshot-format.ts';
import { prune } from './snapshot-pruning.ts';
import { isDamage, isUnreadable, readManifest, readPart, snapshotIds } from './snapshot-reader.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import { type SnapshotTransform, Transforms } from './snapshot-transform.ts';
import { type SnapshotBase, SnapshotWriter, type Written } from './snapshot-writer.ts';

/** Options of {@link BackupManager}. */
export interface BackupManagerOptions {
  /** The store of the snapshots. The manager must be its only writer; {@link BackupManager.close} closes it. */
  readonly store: SnapshotStore;
  /** Default: every 300 seconds, `periodic`, 5 snapshots kept. */
  readonly settings?: BackupSettingsChange | undefined;
  /** Transforms of everything that is stored, applied in this order. Default: none. */
  readonly transforms?: readonly SnapshotTransform[] | undefined;
  /** Approximate greatest size of a part before the transforms, in bytes. Default 1 MiB; an integer from 1. */
  readonly partBytes?: number | undefined;
  /** The cache whose snapshots these are; the store is claimed for it. Default: the store is not claimed. */
  readonly owner?: Owner | undefined;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
}

const OPTIONS = optionNames<BackupManagerOptions>('BackupManager', {
  store: true,
  settings: true,
  transforms: true,
  partBytes: true,
  owner: true,
  clock: true,
});

/** Options of {@link BackupManager.backup}. */
export interface BackupOptions {
  readonly signal?: AbortSignal | undefined;
  /** Writes everything again, even parts that are stored already. Default false. */
  readonly full?: boolean | undefined;
}

const BACKUP_OPTIONS = optionNames<BackupOptions>('BackupManager.backup', { signal: true, full: true });

/** A snapshot that was taken, and how much of it had to be written. */
export interface BackupResult extends SnapshotInfo {
  readonly written: Readonly<Written>;
}

/**
 * Takes, lists and prunes snapshots in a store. Decides nothing about when: see `BackupInitiator`.
 *
 * It writes only namespaces that have changed since the newest stored snapshot, and refers to the stored parts of the
 * others. The first backup of a manager reads those parts and checks them; later ones only check that they exist.
 *
 * @example
 * ```ts
 * const manager = new BackupManager({ store: new DirectorySnapshotStore('./backups'), settings: { keep: 10 } });
 * const { id } = await manager.backup(capture);
 * ```
 */
export class BackupManager {
  readonly #store: SnapshotStore;
  readonly #transforms: Transforms;
  readonly #writer: SnapshotWriter;
  readonly #owner: Owner | undefined;
  #settings: BackupSettings;
  /** Settles with the last backup: backups run one at a time. */
  #last: Promise<unknown> = Promise.resolve();
  /** `true` when this manager has checked the stored parts. */
  #trusted = false;
  /** `true` while parts may be stored that no manifest refers to. */
  #untidy = true;

  /** @throws {ContextCacheError} `INVALID_OPTION`. */
  constructor(options: BackupManagerOptions) {
    const { store, settings, transforms, partBytes, clock = systemClock } = OPTIONS.checked(options);
    if (partBytes !== undefined && !(Number.isInteger(partBytes) && partBytes > 0)) {
      throw new ContextCacheError('INVALID_OPTION', `partBytes is a positive integer, not ${partBytes}.`);
    }
    this.#store = store;
    this.#owner = options.owner;
    this.#settings = mergeBackupSettings(DEFAULT_BACKUP_SETTINGS, settings);
    this.#transforms = new Transforms(transforms);
    const size = partBytes === undefined ? {} : { partBytes };
    this.#writer = new SnapshotWriter({ store, transforms: this.#transforms, clock, ...size });
  }

  /** The location of the snapshots, for messages. */
  get description(): string {
    return this.#store.description;
  }

  getSettings(): BackupSettings {
    return this.#settings;
  }

  /**
   * Changes some settings. `keep` takes effect with the next backup.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`; nothing has changed then.
   */
  setSettings(changes: BackupSettingsChange): BackupSettings {
    this.#settings = mergeBackupSettings(this.#settings, changes);
    return this.#settings;
  }

  /**
   * Stores the capture as a snapshot, then removes old ones down to `keep`. Closes the capture in any case. If the newest
   * stored snapshot has the same log and position and all its parts, it writes nothing and returns that one. A second
   * call waits for the first.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`; `OWNED_BY_ANOTHER` if the store belongs to another cache; the errors of the store. There
   *   is no new snapshot then, unless the message says that only old ones could not be removed.
   */
  backup(capture: StateCapture, options: BackupOptions = {}): Promise<BackupResult> {
    const result = this.#last
      .then(() => this.#backup(capture, BACKUP_OPTIONS.checked(options)))
      .finally(() => capture.close());
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Lists all stored snapshots, newest first, including those that are not whole. */
  async list(signal?: AbortSignal): Promise<SnapshotInfo[]> {
    const infos: SnapshotInfo[] = [];
    for (const id of await snapshotIds(this.#store, signal)) infos.push(await this.#describe(id, signal));
    return infos;
  }

  /** Waits for the backups under way, then closes the store. Calling it twice is fine. */
  async close(): Promise<void> {
    await this.#last;
    await this.#store.close();
  }

  async #backup(capture: StateCapture, { signal, full = false }: BackupOptions): Promise<BackupResult> {
    signal?.throwIfAborted();
    if (this.#owner !== undefined) await this.#store.claim?.(this.#owner, signal);
    const ids = await snapshotIds(this.#store, signal);
    const base = full ? undefined : await this.#base(ids, signal);
    const result = (base && this.#same(base, capture, ids)) ?? (await this.#write(capture, ids, base, signal));
    this.#trusted = true;
    await this.#prune(result, ids, signal);
    return result;
  }

  async #write(
    capture: StateCapture,
    ids: readonly string[],
    base: SnapshotBase | undefined,
    signal: AbortSignal | undefined,
  ): Promise<BackupResult> {
    const newest = ids[0] === undefined ? undefined : parseSnapshotId(ids[0]);
    const id = snapshotId(Math.max(Math.trunc(capture.at), (newest?.at ?? -1) + 1), capture.position);
    const untidy = this.#untidy;
    this.#untidy = true;
    const { manifest, written } = await this.#writer.write(id, capture, base, signal);
    this.#untidy = untidy;
    return { ...infoOf(manifest, 0), written };
  }

  /** Returns the newest snapshot whose manifest can be read, with its usable parts. */
  async #base(ids: readonly string[], signal: AbortSignal | undefined): Promise<SnapshotBase | undefined> {
    for (const id of ids) {
      try {
        const manifest = await readManifest(this.#store, id, this.#transforms, signal);
        const parts = this.#trusted ? await this.#present(manifest, signal) : await this.#undamaged(manifest, signal);
        return { manifest, parts };
      } catch (error) {
        // An unreadable one cannot be the base. The loader reports it when it is restored.
        if (!isUnreadable(error)) throw error;
      }
    }
    return undefined;
  }

  async #present(manifest: Manifest, signal: AbortSignal | undefined): Promise<Set<string>> {
    const ids = partIds(manifest);
    const there = await this.#store.has(ids, signal);
    return new Set(ids.filter((_, index) => there[index]));
  }

  async #undamaged(manifest: Manifest, signal: AbortSignal | undefined): Promise<Set<string>> {
    const sound = new Set<string>();
    for (const part of manifest.namespaces.flatMap(({ parts }) => parts)) {
      if (sound.has(part.id)) continue;
      try {
        await readPart(this.#store, manifest.id, part, signal);
        sound.add(part.id);
      } catch (error) {
        // A damaged part is written again.
        if (!isDamage(error)) throw error;
      }
    }
    return sound;
  }

  /** Returns the base itself if it is the newest, whole, and at the position of the capture. */
  #same({ manifest, parts }: SnapshotBase, capture: StateCapture, ids: readonly string[]): BackupResult | undefined {
    const same = manifest.log === capture.log && manifest.position === capture.position && manifest.id === ids[0];
    const alike = manifest.transforms.join() === this.#transforms.names.join();
    if (!same || !alike || !partIds(manifest).every((id) => parts.has(id))) return undefined;
    return { ...infoOf(manifest, 0), written: { namespaces: 0, parts: 0, bytes: 0 } };
  }

  async #prune(result: BackupResult, before: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    const ids = before.includes(result.id) ? before : [result.id, ...before];
    if (!this.#untidy && ids.length <= this.#settings.keep) return;
    try {
      this.#untidy = true;
      await prune(this.#store, this.#transforms, ids, this.#settings.keep, signal);
      this.#untidy = false;
    } catch (cause) {
      const message = `Snapshot ${result.id} is stored and whole, but old ones could not be removed: ${toError(cause).message}`;
      throw new ContextCacheError('BACKEND_FAILED', message, { cause });
    }
  }

  async #describe(id: string, signal: AbortSignal | undefined): Promise<SnapshotInfo> {
    try {
      const manifest = await readManifest(this.#store, id, this.#transforms, signal);
      const present = await this.#present(manifest, signal);
      return infoOf(manifest, partIds(manifest).length - present.size);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      const { at, position } = parseSnapshotId(id) ?? { at: 0, position: 0 };
      return { id, position, at, log: '', namespaces: 0, entries: 0, bytes: 0, whole: false, problem: error.message };
    }
  }
}
