import type { NamespaceState } from '../../../../core/namespace-state.ts';
import type { TimeSlice } from '../../../../core/time-slice.ts';
import type { LevelStorage, StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { BatchWriter } from '../records/batch-writer.ts';
import {
  CHUNK_UPDATES,
  chunkKey,
  decodePast,
  type Keyframe,
  keyframePageKey,
  keyframeRange,
  PAST_RANGE,
  type PastSummary,
  pastKey,
  pastWrite,
} from '../records/past-records.ts';
import { summaryKey } from '../records/state-records.ts';
import { keyframeWrites } from './keyframe.ts';
import type { PastReader } from './past-reader.ts';
import { stateAfter } from './past-state.ts';

/** Options of {@link PastTrim}. */
export interface PastTrimOptions {
  readonly storage: LevelStorage;
  readonly reader: PastReader;
  /** `true` if the pages of the state contain the values, so that a frame is copied before the next change. */
  readonly keepsFrames: boolean;
  readonly position: number;
  readonly slice: TimeSlice;
}

/** A part of the work: writes of one batch, the pasts that they change, and where the next part starts. */
export interface TrimStep {
  readonly writes: StorageWrite[];
  /** The name of a namespace whose past is removed. */
  readonly pasts: (PastSummary | string)[];
  /** The records of pasts that the writes replace or remove. */
  readonly replaced: Uint8Array[];
  /** `undefined` if this was the last part. */
  readonly rest: string | undefined;
}

/** The parts of a past that are kept. */
type Kept = Pick<PastSummary, 'firstFrame' | 'firstChunk' | 'keyframe'>;

/** A removal from the start of a past. */
interface Removed extends Omit<Kept, 'keyframe'> {
  readonly writes: readonly StorageWrite[];
  /** `true` if nothing is left to be removed. */
  readonly isAll: boolean;
}

/** Approximate number of records removed in one batch, and number of namespaces looked at in it. */
const MANY = 2048;
/** Number of records of namespaces read at a time. */
const READ = 512;

/**
 * Removes the past before a position, namespace by namespace. A namespace with updates on both sides of the position
 * gets a keyframe there, unless it has a frame: the log may then release everything up to the position. No view before
 * the position may be in use.
 */
export class PastTrim {
  readonly #options: PastTrimOptions;

  constructor(options: PastTrimOptions) {
    this.#options = options;
  }

  /** Does a part of the work; `from` is the `rest` of the part before, at first the empty string. */
  async step(from: string): Promise<TrimStep> {
    const { storage, slice } = this.#options;
    const step: TrimStep = { writes: [], pasts: [], replaced: [], rest: undefined };
    const range = { gte: from === '' ? PAST_RANGE.gte : from, lt: PAST_RANGE.lt, limit: READ };
    const records: (readonly [string, Uint8Array])[] = [];
    for await (const record of storage.entries(range)) records.push(record);
    for (const [key, record] of records) {
      if (step.writes.length >= MANY) return { ...step, rest: key };
      const summary = decodePast(record);
      if (key !== pastKey(summary.name)) throw corrupt('The past of a namespace is stored under another name');
      const known = step.pasts.length;
      const isDone = await this.#trim(summary, step);
      if (step.pasts.length > known) step.replaced.push(record);
      if (!isDone) return { ...step, rest: key };
      if (slice.over) await slice.pause();
    }
    const last = records.at(-1);
    return { ...step, rest: records.length < READ || last === undefined ? undefined : `${last[0]}\0` };
  }

  /**
   * Trims the past of a namespace. Resolves with `false` if more than one part is needed: the past is then whole from the
   * position on, but still holds some of what is superfluous.
   */
  async #trim(summary: PastSummary, { writes, pasts }: TrimStep): Promise<boolean> {
    const { reader, position } = this.#options;
    const { name, count, last, frames } = summary;
    const mayGo = await this.#mayGo(summary);
    if (mayGo) {
      const end = { firstFrame: frames, firstChunk: Math.ceil(count / CHUNK_UPDATES), keyframe: undefined };
      const removed = this.#removed(summary, end);
      if (removed.isAll) {
        for (const write of removed.writes) writes.push(write);
        writes.push({ type: 'del', key: pastKey(name) });
        pasts.push(name);
        return true;
      }
    }
    const gone = reader.countAt(summary, position, reader.chunks());
    if (gone === 0 && last > position) return true;
    const after = await this.#after(summary, gone);
    if (after === undefined) return true;
    const removed = this.#removed(summary, after);
    for (const write of removed.writes) writes.push(write);
    const reached = { ...after, firstFrame: removed.firstFrame, firstChunk: removed.firstChunk };
    writes.push(pastWrite(reached));
    pasts.push(reached);
    return removed.isAll && !mayGo;
  }

  /** Returns the past without what is superfluous; `undefined` if nothing is. */
  async #after(summary: PastSummary, gone: number): Promise<PastSummary | undefined> {
    const { reader, position } = this.#options;
    const frame = reader.frameAt(summary, gone);
    const index = reader.lastFrame(summary, gone);
    const isThere = frame !== undefined && frame.ordinal === gone;
    const isKeyframe = isThere && summary.keyframe?.ordinal === gone;
    const keyframe = isKeyframe ? summary.keyframe : isThere ? undefined : await this.#makeKeyframe(summary, gone);
    const firstFrame = isThere && !isKeyframe ? index : index + 1;
    // Keeps the last released update: it tells when the namespace last changed before, and whether it existed.
    const firstChunk = Math.max(summary.firstChunk, Math.floor(Math.max(0, gone - 1) / CHUNK_UPDATES));
    const isDone =
      keyframe === summary.keyframe && firstFrame <= summary.firstFrame && firstChunk === summary.firstChunk;
    if (isDone) return undefined;
    const kept = { firstFrame: Math.max(firstFrame, summary.firstFrame), firstChunk, keyframe };
    return { ...summary, ...kept, ...livesSince(summary, position) };
  }

  /**
   * Returns whether the whole past of a namespace can be removed: its state has not changed since the position, and a
   * frame will be copied before it does.
   */
  async #mayGo({ name, last }: PastSummary): Promise<boolean> {
    if (last > this.#options.position) return false;
    if (this.#options.keepsFrames) return true;
    const [state] = await this.#options.storage.getMany([summaryKey(name)]);
    return state === undefined;
  }

  /**
   * Removes a keyframe that is not kept, and what lies before a frame and a chunk: the oldest first, as much as a part of
   * the work may hold.
   */
  #removed({ name, firstFrame, firstChunk, keyframe }: PastSummary, end: Kept): Removed {
    const writes: StorageWrite[] = [];
    const remove = (key: string) => writes.push({ type: 'del', key });
    for (let page = 0; keyframe !== undefined && keyframe !== end.keyframe && page < keyframe.pages; page += 1) {
      remove(keyframePageKey(name, keyframe.generation, page));
    }
    // The pages of a keyframe do not count: they go together.
    const most = writes.length + MANY;
    let [frame, chunk] = [firstFrame, firstChunk];
    for (; frame < end.firstFrame && writes.length < most; frame += 1) {
      for (const key of this.#options.reader.frameKeys(name, frame)) remove(key);
    }
    for (; chunk < end.firstChunk && chunk - firstChunk < MANY; chunk += 1) remove(chunkKey(name, chunk));
    const isAll = frame >= end.firstFrame && chunk >= end.firstChunk;
    return { writes, firstFrame: frame, firstChunk: chunk, isAll };
  }

  /** Stores the pages of a keyframe before anything refers to them. */
  async #makeKeyframe(summary: PastSummary, count: number): Promise<Keyframe> {
    const { storage } = this.#options;
    const { name } = summary;
    const state = await this.#fold(summary, count);
    const generation = (summary.keyframe?.generation ?? 0) + 1;
    const writer = new BatchWriter(storage);
    for await (const [key] of storage.entries(keyframeRange(name, generation))) await writer.add({ type: 'del', key });
    let pages = 0;
    for (const write of keyframeWrites(name, generation, state.entries)) {
      await writer.add(write);
      pages += 1;
      await this.#pause();
    }
    await writer.flush();
    const { version, position, entries } = state;
    return { generation, ordinal: count, version, position, pages, entries: entries.size };
  }

  async #fold(summary: PastSummary, count: number): Promise<NamespaceState> {
    const work = stateAfter(this.#options.reader, summary, count);
    for (;;) {
      const { done, value } = work.next();
      if (done) return value;
      await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    if (this.#options.slice.over) await this.#options.slice.pause();
  }
}

/** Reduces the lives before the position to whether the namespace existed. */
function livesSince({ lives, livedBefore }: PastSummary, position: number): Pick<PastSummary, 'lives' | 'livedBefore'> {
  const later = lives.findIndex((at) => at > position);
  const passed = later === -1 ? lives.length : later;
  if (passed === 0) return { lives, livedBefore };
  // Drops pairs, so that the first one is a birth.
  return { lives: lives.slice(passed - (passed % 2)), livedBefore: false };
}
