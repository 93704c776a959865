import { NamespaceDigest } from '../../core/encoding/digest.ts';
import { decodeEntry, encodeEntry, type StoredEntry } from '../../core/encoding/entry-codec.ts';
import { NamespaceState } from '../../core/namespace-state.ts';
import type { PinnedStorage } from '../../storage/disk/leveldb/pinned-storage.ts';
import { corrupt } from '../../storage/disk/leveldb/sealed.ts';
import {
  decodeFrame,
  type Frame,
  frameKey,
  framePageKey,
  keyframePageKey,
  type PastSummary,
} from '../../storage/disk/records/past-records.ts';
import { decodePage } from '../../storage/disk/records/state-records.ts';
import type { Findings } from '../verify-findings.ts';

/** A frame with all pages read. */
export interface CheckedFrame extends Frame {
  readonly record: string;
  readonly digest: string;
  /** The state, if it was asked for. */
  readonly state: NamespaceState | undefined;
}

/** Number of pages read at a time. */
const PAGES = 64;

/**
 * Reads the frames of a namespace in step with the fold of its updates. A keyframe, if there is one, precedes all
 * frames and takes the number before theirs.
 */
export class FrameCheck {
  readonly #storage: PinnedStorage;
  readonly #findings: Findings;
  readonly #summary: PastSummary;
  /** Number of the next frame, and the frame once it was read. */
  #index: number;
  #next: Frame | undefined;
  #lastOrdinal = 0;
  #skipBefore = 0;

  constructor(storage: PinnedStorage, findings: Findings, summary: PastSummary) {
    this.#storage = storage;
    this.#findings = findings;
    this.#summary = summary;
    this.#index = summary.firstFrame - (summary.keyframe === undefined ? 0 : 1);
  }

  /** Returns the frame just before the update with this ordinal; `undefined` without a readable frame. */
  async at(ordinal: number, withState: boolean): Promise<CheckedFrame | undefined> {
    const index = this.#index;
    if (index >= this.#summary.frames) return undefined;
    try {
      this.#next ??= await this.#read(index);
      if (this.#next.ordinal > ordinal) return undefined;
      const frame = this.#next;
      this.#advance();
      if (frame.ordinal < Math.min(ordinal, this.#skipBefore)) return await this.at(ordinal, withState);
      if (frame.ordinal !== ordinal) throw corrupt('The frames of the past of a namespace are out of order');
      this.#lastOrdinal = ordinal;
      const checked = await this.#readPages(index, frame, withState);
      this.#findings.counts.frames += 1;
      return checked;
    } catch (error) {
      if (this.#index === index) this.#advance();
      const { name } = this.#summary;
      this.#findings.addError('record', { record: frameKey(name, index), namespace: name }, error);
      return undefined;
    }
  }

  /** Skips the comparison of frames before this ordinal, because updates there could not be read. */
  skipTo(ordinal: number): void {
    this.#skipBefore = ordinal;
  }

  /** Must be called when all updates have been folded. */
  end(): void {
    const { name, frames, firstFrame, framedAt } = this.#summary;
    if (this.#index < frames) {
      this.#findings.add(
        'past',
        { namespace: name },
        `Only ${this.#index} of its ${frames} frames belong to its updates.`,
      );
    } else if (frames > firstFrame && framedAt !== this.#lastOrdinal) {
      this.#findings.add(
        'past',
        { namespace: name },
        'The last frame is not at the ordinal that the record of the past names.',
      );
    }
  }

  #advance(): void {
    this.#index += 1;
    this.#next = undefined;
  }

  async #read(index: number): Promise<Frame> {
    const { keyframe, firstFrame } = this.#summary;
    if (keyframe !== undefined && index < firstFrame) return keyframe;
    const [record] = await this.#storage.getMany([frameKey(this.#summary.name, index)]);
    if (record === undefined) throw corrupt('A frame of the past of a namespace is missing');
    return decodeFrame(record);
  }

  async #readPages(index: number, frame: Frame, withState: boolean): Promise<CheckedFrame> {
    const { name } = this.#summary;
    const digest = new NamespaceDigest();
    const state = withState ? new NamespaceState(name) : undefined;
    for await (const [key, stored] of this.#entries(index, frame)) {
      digest.add(key, stored);
      state?.put(key, decodeEntry(stored));
      await this.#findings.step('namespaces', this.#findings.counts.namespaces);
    }
    if (state !== undefined) {
      state.version = frame.version;
      state.position = frame.position;
    }
    return { ...frame, record: frameKey(name, index), digest: digest.at(frame.version), state };
  }

  async *#entries(index: number, { pages }: Frame): AsyncGenerator<readonly [string, StoredEntry]> {
    const { name, keyframe, firstFrame } = this.#summary;
    for (let first = 0; first < pages; first += PAGES) {
      const some = Array.from({ length: Math.min(PAGES, pages - first) }, (_, at) =>
        keyframe !== undefined && index < firstFrame
          ? keyframePageKey(name, keyframe.generation, first + at)
          : framePageKey(name, index, first + at),
      );
      for (const record of await this.#storage.getMany(some)) yield* decodePage(record);
    }
  }
}

/** Computes the digest of a state that does not change; without its values if an external primary keeps them. */
export async function digestOfFold(state: NamespaceState, findings: Findings, valued: boolean): Promise<string> {
  const digest = new NamespaceDigest();
  for (const [key, entry] of state.entries) {
    digest.add(key, encodeEntry(valued ? entry : { ...entry, value: undefined }));
    await findings.step('namespaces', findings.counts.namespaces);
  }
  return digest.at(state.version);
}
