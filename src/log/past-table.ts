import { firstWhere } from '../core/search.ts';
import type { Update } from '../core/update.ts';
import type { LevelDirectory } from './level-directory.ts';
import { readAll } from './level-records.ts';
import type { StorageWrite } from './level-storage.ts';
import { PastFold } from './past-fold.ts';
import {
  CHUNK_UPDATES,
  type Chunk,
  chunkKey,
  decodeChunk,
  decodeFrame,
  decodePast,
  decodePastUpdate,
  decodeTimes,
  type Frame,
  frameKey,
  framePageKey,
  frameWrite,
  PAST_RANGE,
  type PastSummary,
  TIMES,
  timesKey,
  timesWrite,
} from './past-records.ts';
import { corrupt } from './sealed.ts';
import { BatchWriter } from './state-adoption.ts';
import { pageKey, type StoredNamespace } from './state-records.ts';
import type { TimeSlice } from './time-slice.ts';

/** A frame is due after so many updates at the earliest, … */
const FRAME_UPDATES = 1024;
/** … and once to fold them takes so many times what it takes to read the namespace. */
const FRAME_SHARE = 2;
/** What an entry or an update weighs beside its value. */
const OVERHEAD_BYTES = 256;
/** Pages copied at once. */
const COPY_PAGES = 256;

/** What changes in memory once a batch is written. */
export interface PastBatch {
  readonly writes: readonly StorageWrite[];
  done(): void;
}

/** A namespace whose next updates are about to be folded, as it is in the state table now. */
export interface FoldedNamespace {
  readonly base: StoredNamespace;
  readonly given: readonly Update[];
}

/**
 * The past beside the state table: every update of a namespace in its order, and now and then a frame, a copy of the
 * namespace's pages, so that a state of long ago is a frame and some updates. Written in the same batch as the state,
 * and only ever added to.
 */
export class PastTable {
  readonly #directory: LevelDirectory;
  readonly #keepFrames: boolean;
  #summaries = new Map<string, PastSummary>();
  /** The running maximum of the instants of updates, of the last record of them. */
  #times: number[] = [];
  /** How many instants there are. */
  #timed = 0;

  /** `keepFrames`: whether the state table keeps values; without them a copy of its pages is no state. */
  constructor(directory: LevelDirectory, keepFrames: boolean) {
    this.#directory = directory;
    this.#keepFrames = keepFrames;
  }

  /** Reads what there is, anew; `timed`: how many updates it goes over. */
  async load(timed: number): Promise<void> {
    const summaries = new Map<string, PastSummary>();
    for await (const [, record] of readAll(this.#directory, PAST_RANGE)) {
      const summary = decodePast(record);
      summaries.set(summary.name, summary);
    }
    const [times] = await this.#directory.getMany([timesKey(lastRecord(timed))]);
    this.#summaries = summaries;
    this.#times = decodeTimes(times);
    this.#timed = timed;
  }

  summary(name: string): PastSummary | undefined {
    return this.#summaries.get(name);
  }

  /** Every namespace that has had an update. */
  summaries(): Iterable<PastSummary> {
    return this.#summaries.values();
  }

  /**
   * Prepares the writes that go with a batch of the state table, whose pages are still as they were before. `timed`: how
   * many updates there are with these, counted from where the past begins.
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
        const frame = { ordinal: fold.count, version: base.version, position: base.position, pages: base.pages };
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
    const times = this.#timesAfter(all, timed);
    writes.push(...times.writes);
    return {
      writes,
      done: () => {
        for (const { summary } of folds) this.#summaries.set(summary.name, summary);
        this.#times = times.last;
        this.#timed = timed;
      },
    };
  }

  /** For one pass over chunks. */
  reader(): ChunkReader {
    return new ChunkReader(this.#directory);
  }

  /** The update of this ordinal. */
  updateAt(name: string, ordinal: number, chunks: ChunkReader): Update {
    const { positions, updates } = chunks.of(name, ordinal);
    const index = ordinal % CHUNK_UPDATES;
    const position = positions[index];
    const stored = updates[index];
    if (position === undefined || stored === undefined) throw corrupt('The past of a namespace has a gap');
    return decodePastUpdate(name, position, stored);
  }

  /** How many updates of the namespace are at or before the position. */
  countAt({ name, count, last }: PastSummary, position: number, chunks: ChunkReader): number {
    if (position >= last) return count;
    return firstWhere(0, count, (ordinal) => {
      const at = chunks.of(name, ordinal).positions[ordinal % CHUNK_UPDATES];
      return at === undefined || at > position;
    });
  }

  /** The last frame with at most `count` updates in it, and its number. */
  frameAt({ name, frames }: PastSummary, count: number): (Frame & { readonly index: number }) | undefined {
    const frame = (index: number) => {
      const record = this.#directory.getSync(frameKey(name, index));
      if (record === undefined) throw corrupt('A frame of the past of a namespace is missing');
      return decodeFrame(record);
    };
    const index = firstWhere(0, frames, (at) => frame(at).ordinal > count) - 1;
    return index < 0 ? undefined : { ...frame(index), index };
  }

  /** A page of a frame as it is stored. */
  framePage(name: string, frame: number, page: number): Uint8Array | undefined {
    return this.#directory.getSync(framePageKey(name, frame, page));
  }

  /** How many updates come before the first one that was asked for after this instant. */
  countUntil(instant: number): number {
    return firstWhere(0, this.#timed, (index) => this.#time(index) > instant);
  }

  #time(index: number): number {
    const record = Math.floor(index / TIMES);
    const times =
      record === lastRecord(this.#timed) ? this.#times : decodeTimes(this.#directory.getSync(timesKey(record)));
    const time = times[index % TIMES];
    if (time === undefined) throw corrupt('The instants of updates are missing');
    return time;
  }

  /** A namespace that was there before its past is kept begins with a frame. */
  #isFrameDue(base: StoredNamespace, known: PastSummary | undefined): boolean {
    if (!this.#keepFrames || base.version === 0) return false;
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
        // What a batch that failed has left under this key must not be taken for the page.
        await copies.add(value === undefined ? { type: 'del', key } : { type: 'put', key, value });
      }
    }
  }

  async #loadLastChunks(folds: readonly PastFold[]): Promise<void> {
    const needed = folds.filter((fold) => fold.needed !== undefined);
    const records = await this.#directory.getMany(needed.map((fold) => fold.needed ?? ''));
    for (const [index, fold] of needed.entries()) fold.load(records[index]);
  }

  #timesAfter(updates: readonly Update[], timed: number): { writes: StorageWrite[]; last: number[] } {
    let last = this.#timed % TIMES === 0 ? [] : [...this.#times];
    let latest = this.#times.at(-1) ?? 0;
    let record = Math.floor(this.#timed / TIMES);
    const writes: StorageWrite[] = [];
    for (let i = 0; i < timed - this.#timed; i += 1) {
      if (last.length === TIMES) {
        writes.push(timesWrite(record, last));
        record += 1;
        last = [];
      }
      latest = Math.max(latest, updates[i]?.at ?? latest);
      last.push(latest);
    }
    if (timed > this.#timed) writes.push(timesWrite(record, last));
    return { writes, last: timed > this.#timed ? last : this.#times };
  }
}

function lastRecord(timed: number): number {
  return Math.floor(Math.max(0, timed - 1) / TIMES);
}

/** Reads chunks. Keeps the last one, for one who reads on in it; for use within one turn. */
class ChunkReader {
  readonly #directory: LevelDirectory;
  #key = '';
  #chunk: Chunk = { positions: [], updates: [] };

  constructor(directory: LevelDirectory) {
    this.#directory = directory;
  }

  /** The chunk that holds the ordinal. */
  of(name: string, ordinal: number): Chunk {
    const key = chunkKey(name, Math.floor(ordinal / CHUNK_UPDATES));
    if (key === this.#key) return this.#chunk;
    const record = this.#directory.getSync(key);
    if (record === undefined) throw corrupt('Updates in the past of a namespace are missing');
    this.#chunk = decodeChunk(record);
    this.#key = key;
    return this.#chunk;
  }
}
