import { firstWhere } from '../../../core/search.ts';
import { filled, type NameTable } from '../../../core/tables/name-table.ts';
import type { TimeSlice } from '../../../core/time-slice.ts';
import type { Update } from '../../../core/update.ts';
import { type LevelDirectory, readAll } from '../leveldb/level-directory.ts';
import type { StorageSnapshot, StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { BatchWriter } from '../records/batch-writer.ts';
import {
  CHUNK_UPDATES,
  type Chunk,
  chunkKey,
  decodeChunk,
  decodeFrame,
  decodePast,
  decodePastUpdate,
  type Frame,
  frameKey,
  framePageKey,
  frameWrite,
  keyframePageKey,
  PAST_RANGE,
  type PastSummary,
} from '../records/past-records.ts';
import { decodePage, type Page, pageKey, type StoredNamespace } from '../records/state-records.ts';
import { PastColumns } from './past-columns.ts';
import { PastFold } from './past-fold.ts';
import { PastTimes } from './past-times.ts';

/** Least number of updates between two frames, … */
const FRAME_UPDATES = 1024;
/** … and folding those must take at least this many times as long as reading the namespace. */
const FRAME_SHARE = 2;
/** Weight of an entry or update in bytes, without its value. */
const OVERHEAD_BYTES = 256;
/** Number of pages copied at a time. */
const COPY_PAGES = 256;

/** Writes of a batch, and the change in memory once it is written. */
export interface PastBatch {
  readonly writes: readonly StorageWrite[];
  done(): void;
}

/** A namespace whose next updates are about to be folded, as it is in the state table now. */
export interface FoldedNamespace {
  readonly base: StoredNamespace;
  readonly given: readonly Update[];
}

/** Options of {@link PastTable}. */
export interface PastTableOptions {
  /** `false` if the state table keeps no values: a copy of its pages is then not a state. */
  readonly keepFrames: boolean;
  /** Returns the snapshot that readers use while a batch is being written. */
  readonly view: () => StorageSnapshot | undefined;
  /** The shared table of names. */
  readonly names: NameTable;
}

/** A past that was read and is not in use yet. Either use it or discard it: it holds names. */
export interface LoadedPast {
  /** Returns the position of the namespace's last update; `undefined` if it has no past. */
  last(name: string): number | undefined;
  use(): void;
  discard(): void;
}

/** A frame or keyframe, with the keys of its pages. */
export interface FoundFrame extends Frame {
  readonly key: (page: number) => string;
}

/**
 * The past beside the state table: every update of a namespace in order, and from time to time a frame, which is a copy
 * of the namespace's pages. An old state is a frame plus some updates. The past is written in the same batch as the
 * state and only grows at its end; what {@link PastTrim} removes at its start is no longer readable.
 */
export class PastTable {
  readonly times: PastTimes;
  readonly #directory: LevelDirectory;
  readonly #options: PastTableOptions;
  #summaries: PastColumns;

  constructor(directory: LevelDirectory, options: PastTableOptions) {
    this.times = new PastTimes(directory, options.view);
    this.#directory = directory;
    this.#options = options;
    this.#summaries = new PastColumns(options.names);
  }

  /** Reads what the storage holds; `timed` is the number of updates it covers. Changes nothing until it is used. */
  async read(timed: number): Promise<LoadedPast> {
    const useTimes = await this.times.read(timed);
    const columns = await filled(new PastColumns(this.#options.names), async (filling) => {
      for await (const [, record] of readAll(this.#directory, PAST_RANGE)) filling.set(decodePast(record));
    });
    return {
      last: (name) => columns.last(name),
      use: () => {
        useTimes();
        this.#summaries.clear();
        this.#summaries = columns;
      },
      discard: () => columns.clear(),
    };
  }

  /** `true` if the pages of the state table contain the values, so that frames can be copied from them. */
  get keepsFrames(): boolean {
    return this.#options.keepFrames;
  }

  summary(name: string): PastSummary | undefined {
    return this.#summaries.get(name);
  }

  /** Returns the position of the namespace's last update, or `undefined` if it has no past. */
  last(name: string): number | undefined {
    return this.#summaries.last(name);
  }

  /** Iterates over the summaries of all namespaces with updates. Must not be used across an `await`. */
  summaries(): Iterable<PastSummary> {
    return this.#summaries.values();
  }

  /** Iterates over the names of all namespaces with updates. */
  names(): Iterable<string> {
    return this.#summaries.names();
  }

  /** Lets the memory follow what {@link PastTrim} has written. `undefined`: nothing of the namespace is kept. */
  replace(name: string, summary: PastSummary | undefined): void {
    if (summary === undefined) this.#summaries.delete(name);
    else this.#summaries.set(summary);
  }

  /**
   * Prepares the writes that go with a batch of the state table, whose pages are still as they were before it. `timed`
   * is the number of updates including these, counted from the start of the past.
   */
  async prepare(
    folded: readonly FoldedNamespace[],
    all: readonly Update[],
    timed: number,
    slice: TimeSlice,
  ): Promise<PastBatch> {
    const copies = new BatchWriter(this.#directory);
    const folds: PastFold[] = [];
    const writes: StorageWrite[] = [];
    for (const { base, given } of folded) {
      const known = this.#summaries.get(base.name);
      const fold = new PastFold(base, known, given);
      if (this.#isFrameDue(base, known)) {
        const { version, position, pages, count: entries } = base;
        const frame = { ordinal: fold.count, version, position, pages, entries };
        await this.#copyPages(copies, base, fold.frames);
        writes.push(frameWrite(base.name, fold.frames, frame));
        fold.framed();
      }
      folds.push(fold);
    }
    await copies.flush();
    await this.#loadLastChunks(folds);
    for (const fold of folds) {
      for (const write of fold.writes()) {
        writes.push(write);
        if (slice.over) await slice.pause();
      }
    }
    const times = this.times.after(all, timed);
    writes.push(...times.writes);
    return {
      writes,
      done: () => {
        for (const { summary } of folds) this.#summaries.set(summary);
        times.done();
      },
    };
  }

  /** Returns a reader for one pass over the chunks. */
  reader(): ChunkReader {
    return new ChunkReader((key) => this.#read(key));
  }

  /** Returns the update with this ordinal. */
  updateAt(name: string, ordinal: number, chunks: ChunkReader): Update {
    const { positions, updates } = chunks.of(name, ordinal);
    const index = ordinal % CHUNK_UPDATES;
    const position = positions[index];
    const stored = updates[index];
    if (position === undefined || stored === undefined) throw corrupt('The past of a namespace has a gap');
    return decodePastUpdate(name, position, stored);
  }

  /** Returns the number of the namespace's updates at or before the position. */
  countAt({ name, count, last, firstChunk }: PastSummary, position: number, chunks: ChunkReader): number {
    if (position >= last) return count;
    return firstWhere(firstChunk * CHUNK_UPDATES, count, (ordinal) => {
      const at = chunks.of(name, ordinal).positions[ordinal % CHUNK_UPDATES];
      return at === undefined || at > position;
    });
  }

  /** Returns the last frame or keyframe that contains at most `count` updates. */
  frameAt(summary: PastSummary, count: number): FoundFrame | undefined {
    const { name, keyframe } = summary;
    const index = this.lastFrame(summary, count);
    const frame = index < summary.firstFrame ? undefined : this.#frame(name, index);
    if (keyframe !== undefined && keyframe.ordinal <= count && keyframe.ordinal > (frame?.ordinal ?? -1)) {
      return { ...keyframe, key: (page) => keyframePageKey(name, keyframe.generation, page) };
    }
    return frame && { ...frame, key: (page) => framePageKey(name, index, page) };
  }

  /** Returns the number of the last frame with at most `count` updates; less than `firstFrame` without such a frame. */
  lastFrame({ name, firstFrame, frames }: PastSummary, count: number): number {
    return firstWhere(firstFrame, frames, (index) => this.#frame(name, index).ordinal > count) - 1;
  }

  /** Returns a page of a frame. */
  framePage(frame: FoundFrame, page: number): Page {
    return decodePage(this.#read(frame.key(page)));
  }

  /** Iterates over the keys of a frame and its pages. */
  *frameKeys(name: string, index: number): Generator<string> {
    const { pages } = this.#frame(name, index);
    yield frameKey(name, index);
    for (let page = 0; page < pages; page += 1) yield framePageKey(name, index, page);
  }

  #frame(name: string, index: number): Frame {
    const record = this.#read(frameKey(name, index));
    if (record === undefined) throw corrupt('A frame of the past of a namespace is missing');
    return decodeFrame(record);
  }

  #read(key: string): Uint8Array | undefined {
    return this.#directory.getSync(key, this.#options.view());
  }

  /** Returns whether a frame is due. A namespace that existed before its past is kept starts with a frame. */
  #isFrameDue(base: StoredNamespace, known: PastSummary | undefined): boolean {
    if (!this.keepsFrames || base.version === 0) return false;
    if (known === undefined) return true;
    const { count, framedAt, weight } = known;
    return count - framedAt >= FRAME_UPDATES && weight >= FRAME_SHARE * (base.count * OVERHEAD_BYTES + base.bytes);
  }

  async #copyPages(copies: BatchWriter, { name, pages }: StoredNamespace, frame: number): Promise<void> {
    for (let first = 0; first < pages; first += COPY_PAGES) {
      const some = Array.from({ length: Math.min(COPY_PAGES, pages - first) }, (_, index) => first + index);
      const records = await this.#directory.getMany(some.map((page) => pageKey(name, page)));
      for (const [index, page] of some.entries()) {
        const value = records[index];
        const key = framePageKey(name, frame, page);
        // A failed batch may have left something under this key, which must not be taken for the page.
        await copies.add(value === undefined ? { type: 'del', key } : { type: 'put', key, value });
      }
    }
  }

  async #loadLastChunks(folds: readonly PastFold[]): Promise<void> {
    const needed = folds.filter((fold) => fold.needed !== undefined);
    const records = await this.#directory.getMany(needed.map((fold) => fold.needed ?? ''));
    for (const [index, fold] of needed.entries()) fold.load(records[index]);
  }
}

/** Reads chunks and keeps the last one for a reader that continues in it. Valid within one turn of the event loop. */
export class ChunkReader {
  readonly #read: (key: string) => Uint8Array | undefined;
  #key = '';
  #chunk: Chunk = { positions: [], updates: [] };

  constructor(read: (key: string) => Uint8Array | undefined) {
    this.#read = read;
  }

  /** Returns the chunk that holds the ordinal. */
  of(name: string, ordinal: number): Chunk {
    const key = chunkKey(name, Math.floor(ordinal / CHUNK_UPDATES));
    if (key === this.#key) return this.#chunk;
    const record = this.#read(key);
    if (record === undefined) throw corrupt('Updates in the past of a namespace are missing');
    this.#chunk = decodeChunk(record);
    this.#key = key;
    return this.#chunk;
  }
}
