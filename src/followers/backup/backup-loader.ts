import { setImmediate as nextTurn } from 'node:timers/promises';
import { ContextCacheError } from '../../core/errors.ts';
import type { EntryRecord } from '../../core/namespace-state.ts';
import { optionNames } from '../../core/options.ts';
import type { Remembered } from '../../core/remembered.ts';
import {
  infoOf,
  type Manifest,
  type ManifestNamespace,
  partIds,
  SnapshotCorruptError,
  type SnapshotInfo,
  type StoredCluster,
} from './snapshot-format.ts';
import { decodePart } from './snapshot-part.ts';
import { isDamage, readManifest, readPart, snapshotIds } from './snapshot-reader.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import { type SnapshotTransform, Transforms } from './snapshot-transform.ts';

/** Options of {@link BackupLoader}. */
export interface BackupLoaderOptions {
  /** The store of the snapshots. The loader does not close it. */
  readonly store: SnapshotStore;
  /** The transforms that the snapshots were written with, in any order; `gzip` need not be named. */
  readonly transforms?: readonly SnapshotTransform[] | undefined;
  /** Called for each damaged snapshot that {@link BackupLoader.newest} skips. */
  readonly onDamaged?: ((id: string, error: ContextCacheError) => void) | undefined;
}

const OPTIONS = optionNames<BackupLoaderOptions>('BackupLoader', { store: true, transforms: true, onDamaged: true });

/** A namespace of a stored snapshot. */
export interface LoadedNamespace {
  readonly name: string;
  readonly version: number;
  /** Position of its last update. */
  readonly position: number;
  /** Values are deep-frozen. */
  readonly entries: Map<string, EntryRecord>;
}

/** A stored snapshot, which is read while it is iterated, with what was remembered at its position. */
export interface LoadedSnapshot extends Remembered {
  readonly info: SnapshotInfo;
  /** The state of the cluster at its position; `undefined` without a cluster. */
  readonly cluster: StoredCluster | undefined;
  /**
   * Yields every namespace once, one in memory at a time. Checks each part before it yields anything of it.
   *
   * @throws {SnapshotCorruptError} if a part is missing or damaged.
   */
  namespaces(signal?: AbortSignal): AsyncIterable<LoadedNamespace>;
}

/**
 * Finds and reads stored snapshots. Changes nothing in the store.
 *
 * @example
 * ```ts
 * const loader = new BackupLoader({ store, onDamaged: (id, error) => console.error(error.message) });
 * const snapshot = await loader.newest();
 * for await (const { name, entries } of snapshot?.namespaces() ?? []) console.log(name, entries.size);
 * ```
 */
export class BackupLoader {
  readonly #store: SnapshotStore;
  readonly #transforms: Transforms;
  readonly #onDamaged: (id: string, error: ContextCacheError) => void;

  constructor(options: BackupLoaderOptions) {
    OPTIONS.check(options);
    this.#store = options.store;
    this.#transforms = new Transforms(options.transforms);
    this.#onDamaged = options.onDamaged ?? (() => {});
  }

  /**
   * Returns the newest snapshot whose parts all match their checksums; `undefined` if none is stored. Reports damaged
   * ones to `onDamaged` and skips them. With `accepts`, returns the newest that it accepts, by its manifest alone.
   *
   * @throws {ContextCacheError} `SNAPSHOT_CORRUPT` if all stored snapshots are damaged. `FORMAT_UNSUPPORTED` or
   *   `INVALID_OPTION` if the newest can only be read by a newer version or with another transform: an older one is never
   *   taken silently. The errors of the store.
   */
  async newest(
    signal?: AbortSignal,
    accepts: (about: { readonly log: string; readonly cluster?: StoredCluster | undefined }) => boolean = () => true,
  ): Promise<LoadedSnapshot | undefined> {
    const ids = await snapshotIds(this.#store, signal);
    let first: ContextCacheError | undefined;
    for (const id of ids) {
      try {
        const manifest = await this.#verified(id, signal, accepts);
        if (manifest !== undefined) return this.#open(manifest);
      } catch (error) {
        if (!isDamage(error) && !isMissing(error)) throw error;
        first ??= error;
        this.#onDamaged(id, error);
      }
    }
    if (first === undefined) return undefined;
    const message = `None of the ${ids.length} stored snapshots is whole (${this.#store.description}). The newest: ${first.message}`;
    throw new ContextCacheError('SNAPSHOT_CORRUPT', message, { cause: first });
  }

  /**
   * Returns one snapshot by its id. Checks that all parts exist; their checksums are checked when they are read.
   *
   * @throws {ContextCacheError} `NOT_FOUND`, `SNAPSHOT_CORRUPT`, `FORMAT_UNSUPPORTED`, `INVALID_OPTION`.
   */
  async load(id: string, signal?: AbortSignal): Promise<LoadedSnapshot> {
    const manifest = await readManifest(this.#store, id, this.#transforms, signal);
    const parts = partIds(manifest);
    const there = await this.#store.has(parts, signal);
    const missing = parts.find((_, index) => !there[index]);
    if (missing !== undefined) throw new SnapshotCorruptError(id, missing, 'is missing');
    return this.#open(manifest);
  }

  /**
   * Reads every part of a snapshot, one at a time, and checks it against its checksum.
   *
   * @throws {ContextCacheError} the errors of {@link BackupLoader.load}.
   */
  async verify(id: string, signal?: AbortSignal): Promise<SnapshotInfo> {
    return infoOf((await this.#verified(id, signal)) as Manifest, 0);
  }

  /** Returns the manifest once its parts are checked; `undefined` if it is not accepted. */
  async #verified(
    id: string,
    signal: AbortSignal | undefined,
    accepts: (manifest: Manifest) => boolean = () => true,
  ): Promise<Manifest | undefined> {
    const manifest = await readManifest(this.#store, id, this.#transforms, signal);
    if (!accepts(manifest)) return undefined;
    const checked = new Set<string>();
    for (const part of manifest.namespaces.flatMap(({ parts }) => parts)) {
      if (checked.has(part.id)) continue;
      await readPart(this.#store, id, part, signal);
      checked.add(part.id);
      await nextTurn();
    }
    return manifest;
  }

  #open(manifest: Manifest): LoadedSnapshot {
    const read = (namespace: ManifestNamespace, signal?: AbortSignal) => this.#read(manifest, namespace, signal);
    return {
      info: infoOf(manifest, 0),
      operations: manifest.operations,
      floor: manifest.floor,
      cluster: manifest.cluster,
      async *namespaces(signal) {
        for (const namespace of manifest.namespaces) yield await read(namespace, signal);
      },
    };
  }

  async #read(
    manifest: Manifest,
    namespace: ManifestNamespace,
    signal: AbortSignal | undefined,
  ): Promise<LoadedNamespace> {
    const { name, version, position, count } = namespace;
    const entries = new Map<string, EntryRecord>();
    for (const part of namespace.parts) {
      const bytes = await readPart(this.#store, manifest.id, part, signal);
      const what = `Part ${part.id} of snapshot ${manifest.id}`;
      const decoded = await this.#transforms.decode(bytes, manifest.transforms, what);
      try {
        decodePart(decoded, entries);
      } catch (cause) {
        throw new SnapshotCorruptError(manifest.id, part.id, 'cannot be decoded', { cause });
      }
      await nextTurn();
    }
    if (entries.size !== count) {
      const problem = `has a namespace of ${entries.size} entries that should have ${count}`;
      throw new SnapshotCorruptError(manifest.id, undefined, problem);
    }
    return { name, version, position, entries };
  }
}

function isMissing(error: unknown): error is ContextCacheError {
  return error instanceof ContextCacheError && error.code === 'NOT_FOUND';
}
