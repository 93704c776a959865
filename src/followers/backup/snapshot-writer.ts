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

/** A stored snapshot whose parts a new one may share. */
export interface SnapshotBase {
  /** Its manifest. Namespaces that have not changed since are referred to. */
  readonly manifest: Manifest;
  /** Names of its parts that are known to exist. */
  readonly parts: ReadonlySet<string>;
}

/** Options of {@link SnapshotWriter}. */
export interface SnapshotWriterOptions {
  readonly store: SnapshotStore;
  readonly transforms: Transforms;
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** Approximate greatest size of a part before the transforms, in bytes. Default 1 MiB. */
  readonly partBytes?: number;
}

/** The amount of a snapshot that was written. */
export interface Written {
  /** Number of namespaces that were written. */
  namespaces: number;
  /** Number of parts that were stored. */
  parts: number;
  /** Stored bytes of these parts. */
  bytes: number;
}

/** The default of {@link SnapshotWriterOptions.partBytes}. */
export const DEFAULT_PART_BYTES = 1024 * 1024;

/**
 * Writes snapshots to a store, one after another: first the parts of each namespace, the manifest last. Holds a few parts
 * in memory, never a whole snapshot, and lets the event loop turn every few milliseconds. A store may have one writer
 * only.
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
   * Writes the capture as the snapshot `id`. Closes the capture of each namespace, not the whole one.
   *
   * @throws the errors of the store, or the signal's reason. There is no such snapshot then; pruning removes the parts
   *   that were stored.
   */
  async write(
    id: string,
    capture: StateCapture,
    base: SnapshotBase | undefined,
    signal?: AbortSignal,
  ): Promise<{ manifest: Manifest; written: Written }> {
    const run = new Run(this.#store, this.#transforms, new Pace(this.#clock), this.#partBytes, base, signal);
    const namespaces = await run.namespaces(capture);
    const { position, at, log, operations, floor, cluster } = capture;
    const manifest: Manifest = {
      ...{ format: SNAPSHOT_FORMAT, id, position, at, log, transforms: this.#transforms.names, namespaces },
      ...(operations === undefined ? {} : { operations }),
      ...(floor === undefined ? {} : { floor }),
      ...(cluster === undefined ? {} : { cluster }),
    };
    await this.#store.put(id, await sealManifest(manifest, this.#transforms), signal);
    return { manifest, written: run.written };
  }
}

/** The parts of one snapshot that is being written. */
class Run {
  readonly written: Written = { namespaces: 0, parts: 0, bytes: 0 };
  readonly #store: SnapshotStore;
  readonly #transforms: Transforms;
  readonly #pace: Pace;
  readonly #partBytes: number;
  readonly #signal: AbortSignal | undefined;
  readonly #uploads = new Uploads();
  readonly #before = new Map<string, ManifestNamespace>();
  /** Log of the positions in `#before`. */
  #log: string | undefined;
  /** Names of the parts that are stored already. */
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
    // Parts that other transforms made cannot be mixed with new ones.
    if (base === undefined || base.manifest.transforms.join() !== transforms.names.join()) return;
    this.#log = base.manifest.log;
    for (const namespace of base.manifest.namespaces) this.#before.set(namespace.name, namespace);
  }

  async namespaces(state: StateCapture): Promise<ManifestNamespace[]> {
    const namespaces: ManifestNamespace[] = [];
    try {
      for await (const capture of state.namespaces()) {
        try {
          namespaces.push(this.#unchanged(capture, state.log) ?? (await this.#writeNamespace(capture)));
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

  /** Returns the namespace of the stored snapshot; `undefined` if it has changed since or a part is missing. */
  #unchanged(capture: Capture, log: string): ManifestNamespace | undefined {
    const before = this.#before.get(capture.name);
    if (before === undefined || this.#log !== log) return undefined;
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

  /** Stores a part. Its slot in `parts` is filled when its hash is known. */
  async #upload(part: Uint8Array, parts: PartRef[]): Promise<void> {
    const slot = parts.push({ id: '', bytes: 0, sha256: '' }) - 1;
    await this.#uploads.add(async () => {
      const stored = await this.#transforms.encode(part);
      const hash = sha256(stored);
      const id = partId(hash);
      parts[slot] = { id, bytes: stored.length, sha256: hash };
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
