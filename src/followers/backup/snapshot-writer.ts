import { type Clock, systemClock } from '../../core/clock.ts';
import { toError } from '../../core/errors.ts';
import type { Capture } from '../../core/namespace-state.ts';
import type { StateCapture } from '../../storage/follower-sink.ts';
import { Pace } from './pace.ts';
import {
  type Manifest,
  type ManifestNamespace,
  type PartRef,
  partId,
  SNAPSHOT_FORMAT,
  sealManifest,
  sha256,
} from './snapshot-format.ts';
import { encodeRow, PartBuilder } from './snapshot-part.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import type { Transforms } from './snapshot-transform.ts';
import { Uploads } from './uploads.ts';

/** What a snapshot may share with one that is already stored. */
export interface SnapshotBase {
  /** The stored one; its namespaces are referred to where they have not changed since. */
  readonly manifest: Manifest;
  /** Names of its parts that are known to be there. */
  readonly parts: ReadonlySet<string>;
}

/** What a {@link SnapshotWriter} needs. */
export interface SnapshotWriterOptions {
  readonly store: SnapshotStore;
  readonly transforms: Transforms;
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** About how large a part may be before the transforms, in bytes. Default 1 MiB. */
  readonly partBytes?: number;
}

/** How much of a snapshot had to be written. */
export interface Written {
  /** Namespaces that were not referred to. */
  namespaces: number;
  /** Parts that were stored. */
  parts: number;
  /** Their bytes as stored. */
  bytes: number;
}

/** The default of {@link SnapshotWriterOptions.partBytes}. */
export const DEFAULT_PART_BYTES = 1024 * 1024;

/**
 * Writes one snapshot after another to a store: the parts of each namespace as they come, the manifest last. Holds a
 * few parts in memory, never a whole snapshot, and gives the event loop its turn every few milliseconds. The caller
 * sees to it that there is one writer a store.
 */
export class SnapshotWriter {
  readonly #store: SnapshotStore;
  readonly #transforms: Transforms;
  readonly #clock: Clock;
  readonly #partBytes: number;

  constructor(options: SnapshotWriterOptions) {
    this.#store = options.store;
    this.#transforms = options.transforms;
    this.#clock = options.clock ?? systemClock;
    this.#partBytes = options.partBytes ?? DEFAULT_PART_BYTES;
  }

  /**
   * Writes the cut as the snapshot `id`. Closes each capture, not the cut.
   *
   * @throws whatever the store rejects with, or the signal's reason. There is no such snapshot then; parts that were
   *   stored are left to the pruning.
   */
  async write(
    id: string,
    cut: StateCapture,
    base: SnapshotBase | undefined,
    signal?: AbortSignal,
  ): Promise<{ manifest: Manifest; written: Written }> {
    const run = new Run(this.#store, this.#transforms, new Pace(this.#clock), this.#partBytes, base, signal);
    const namespaces = await run.namespaces(cut);
    const { position, at, log } = cut;
    const manifest = { format: SNAPSHOT_FORMAT, id, position, at, log, transforms: this.#transforms.names, namespaces };
    await this.#store.put(id, await sealManifest(manifest, this.#transforms), signal);
    return { manifest, written: run.written };
  }
}

/** The parts of one snapshot on their way. */
class Run {
  readonly written: Written = { namespaces: 0, parts: 0, bytes: 0 };
  readonly #store: SnapshotStore;
  readonly #transforms: Transforms;
  readonly #pace: Pace;
  readonly #partBytes: number;
  readonly #signal: AbortSignal | undefined;
  readonly #uploads = new Uploads();
  readonly #before = new Map<string, ManifestNamespace>();
  /** The log that the positions of `#before` belong to. */
  #log: string | undefined;
  /** Names of parts that need not be stored (again). */
  readonly #stored: Set<string>;

  constructor(
    store: SnapshotStore,
    transforms: Transforms,
    pace: Pace,
    partBytes: number,
    base: SnapshotBase | undefined,
    signal: AbortSignal | undefined,
  ) {
    this.#store = store;
    this.#transforms = transforms;
    this.#pace = pace;
    this.#partBytes = partBytes;
    this.#signal = signal;
    this.#stored = new Set(base?.parts);
    // What other transforms have made cannot be mixed with what these make.
    if (base === undefined || base.manifest.transforms.join() !== transforms.names.join()) return;
    this.#log = base.manifest.log;
    for (const namespace of base.manifest.namespaces) this.#before.set(namespace.name, namespace);
  }

  async namespaces(cut: StateCapture): Promise<ManifestNamespace[]> {
    const namespaces: ManifestNamespace[] = [];
    try {
      for await (const capture of cut.namespaces()) {
        try {
          namespaces.push(this.#unchanged(capture, cut) ?? (await this.#writeNamespace(capture)));
        } finally {
          capture.close();
        }
        await this.#step(0);
      }
      await this.#uploads.done();
    } finally {
      await this.#uploads.settle();
    }
    return namespaces;
  }

  /** The namespace as the stored snapshot has it, unless it has changed since or a part of it is gone. */
  #unchanged(capture: Capture, cut: StateCapture): ManifestNamespace | undefined {
    const before = this.#before.get(capture.name);
    if (before === undefined || this.#log !== cut.log) return undefined;
    const same = before.version === capture.version && before.position === capture.position;
    return same && before.parts.every((part) => this.#stored.has(part.id)) ? before : undefined;
  }

  async #writeNamespace(capture: Capture): Promise<ManifestNamespace> {
    const { name, version, position, count } = capture;
    const parts: PartRef[] = [];
    const builder = new PartBuilder();
    for (const [key, entry] of capture.entries()) {
      const row = encodeRow(key, entry);
      if (!builder.empty && builder.bytes + row.length > this.#partBytes) await this.#upload(builder.take(), parts);
      builder.add(row);
      await this.#step(row.length);
    }
    if (!builder.empty) await this.#upload(builder.take(), parts);
    this.written.namespaces += 1;
    return { name, version, position, count, parts };
  }

  /** Stores a part; its place among `parts` is filled when it is known what it has become. */
  async #upload(part: Uint8Array, parts: PartRef[]): Promise<void> {
    const place = parts.push({ id: '', bytes: 0, sha256: '' }) - 1;
    await this.#uploads.add(async () => {
      const stored = await this.#transforms.encode(part);
      const hash = sha256(stored);
      const id = partId(hash);
      parts[place] = { id, bytes: stored.length, sha256: hash };
      if (this.#stored.has(id)) return;
      await this.#store.put(id, stored, this.#signal);
      this.#stored.add(id);
      this.written.parts += 1;
      this.written.bytes += stored.length;
    });
  }

  #step(bytes: number): Promise<void> | undefined {
    if (this.#signal?.aborted) throw toError(this.#signal.reason);
    return this.#pace.spent(bytes) ? this.#pace.rest() : undefined;
  }
}
