import { encodeEntry, type StoredEntry } from '../../../core/encoding/entry-codec.ts';
import type { NamespaceState } from '../../../core/namespace-state.ts';
import type { TimeSlice } from '../../../core/time-slice.ts';
import type { NamespaceSummary } from '../../state-source.ts';
import { type LevelDirectory, readAll } from '../leveldb/level-directory.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { BatchWriter } from '../records/batch-writer.ts';
import {
  CHUNK_UPDATES,
  chunkKey,
  type Keyframe,
  keyframePageKey,
  keyframeRange,
  type PastSummary,
  pastKey,
  pastWrite,
} from '../records/past-records.ts';
import { encodePage } from '../records/state-records.ts';
import { stateAfter } from './past-state.ts';
import type { PastBatch, PastTable } from './past-table.ts';

/** The part of the state table that a trim uses. */
export interface TrimmedTable {
  readonly past: PastTable;
  summary(namespace: string): NamespaceSummary | undefined;
  changePast(prepare: () => PastBatch | undefined): Promise<void>;
}

/**
 * Least number of updates that a keyframe must make superfluous to be written. It must also be at least half of the
 * namespace's entries.
 */
const KEYFRAME_UPDATES = 32;
/** Approximate number of records removed in one batch. */
const MANY = 2048;
/** Upper bounds of a page of a keyframe, in entries and bytes. */
const PAGE_ENTRIES = 64;
const PAGE_BYTES = 64 * 1024;

/** The part of a namespace's past that is kept. */
interface Plan {
  readonly firstChunk: number;
  readonly firstFrame: number;
  readonly keyframe: Keyframe | undefined;
}

/**
 * Removes the past before a position, namespace by namespace. Each change is one batch, so that an interruption leaves
 * a whole past. No view before the position may be in use.
 */
export class PastTrim {
  readonly #directory: LevelDirectory;
  readonly #table: TrimmedTable;
  readonly #position: number;
  readonly #slice: TimeSlice;

  constructor(directory: LevelDirectory, table: TrimmedTable, position: number, slice: TimeSlice) {
    this.#directory = directory;
    this.#table = table;
    this.#position = position;
    this.#slice = slice;
  }

  async run(): Promise<void> {
    for (const name of [...this.#table.past.names()]) {
      await this.#trim(name);
      await this.#pause();
    }
  }

  async #trim(name: string): Promise<void> {
    const { past } = this.#table;
    for (let summary = past.summary(name); summary !== undefined; summary = past.summary(name)) {
      const plan = await this.#plan(summary);
      if (plan !== undefined) {
        await this.#carryOut(name, plan);
        continue;
      }
      if (this.#mayGo(summary)) await this.#table.changePast(() => this.#remove(name));
      return;
    }
  }

  /**
   * Returns whether the whole past of a namespace can be removed: its state has not changed since the position, and a
   * frame will be copied before it does.
   */
  #mayGo({ name, last }: PastSummary): boolean {
    if (last > this.#position) return false;
    return this.#table.past.keepsFrames || this.#table.summary(name) === undefined;
  }

  /** Returns `undefined` if nothing must be removed, or only everything at once. */
  async #plan(summary: PastSummary): Promise<Plan | undefined> {
    const { past } = this.#table;
    const { name, count, last, firstChunk, firstFrame, keyframe } = summary;
    const small = count - firstChunk * CHUNK_UPDATES <= KEYFRAME_UPDATES && firstFrame >= summary.frames - 1;
    if (small && (last > this.#position || this.#mayGo(summary))) return undefined;
    const gone = past.countAt(summary, this.#position, past.reader());
    if (gone === 0) return undefined;
    const frame = past.lastFrame(summary, gone);
    const base = past.frameAt(summary, gone)?.ordinal ?? 0;
    if (!this.#mayGo(summary) && this.#isWorthIt(name, gone - base)) {
      const made = await this.#makeKeyframe(summary, gone);
      return { firstChunk: Math.floor((gone - 1) / CHUNK_UPDATES), firstFrame: frame + 1, keyframe: made };
    }
    const isKeyframe = keyframe !== undefined && keyframe.ordinal === base;
    const plan = {
      // Keeps the last released update: it tells when the namespace last changed before, and whether it existed.
      firstChunk: Math.max(firstChunk, Math.floor(Math.min(base, gone - 1) / CHUNK_UPDATES)),
      firstFrame: isKeyframe ? Math.max(firstFrame, frame + 1) : Math.max(firstFrame, frame),
      keyframe: isKeyframe ? keyframe : undefined,
    };
    const isDone = plan.firstChunk === firstChunk && plan.firstFrame === firstFrame && plan.keyframe === keyframe;
    return isDone ? undefined : plan;
  }

  #isWorthIt(name: string, freed: number): boolean {
    return freed >= KEYFRAME_UPDATES && freed >= (this.#table.summary(name)?.count ?? 0) / 2;
  }

  async #carryOut(name: string, plan: Plan): Promise<void> {
    for (let isDone = false; !isDone; ) {
      await this.#table.changePast(() => {
        const summary = this.#table.past.summary(name);
        isDone = true;
        if (summary === undefined) return undefined;
        const [batch, after] = this.#step(summary, plan);
        isDone = after.firstFrame === plan.firstFrame && after.firstChunk === plan.firstChunk;
        return batch;
      });
      await this.#pause();
    }
  }

  /**
   * Returns a bounded step of the plan and the summary after it. Puts the new keyframe in place first, then removes
   * frames, then chunks: while a frame is there, so is everything after it.
   */
  #step(summary: PastSummary, plan: Plan): [PastBatch, PastSummary] {
    const { name } = summary;
    const gone: string[] = summary.keyframe === plan.keyframe ? [] : [...keyframeKeys(name, summary.keyframe)];
    let { firstFrame, firstChunk } = summary;
    for (; firstFrame < plan.firstFrame && gone.length < MANY; firstFrame += 1) {
      for (const key of this.#table.past.frameKeys(name, firstFrame)) gone.push(key);
    }
    const chunks = firstFrame === plan.firstFrame ? plan.firstChunk : firstChunk;
    for (; firstChunk < chunks && gone.length < MANY; firstChunk += 1) gone.push(chunkKey(name, firstChunk));
    const { keyframe } = plan;
    const after = { ...summary, firstFrame, firstChunk, keyframe, ...livesSince(summary, this.#position) };
    return [this.#batch(name, gone, after), after];
  }

  /** Removes everything if that is still permitted. */
  #remove(name: string): PastBatch | undefined {
    const summary = this.#table.past.summary(name);
    if (summary === undefined || !this.#mayGo(summary)) return undefined;
    const gone = [...keyframeKeys(name, summary.keyframe)];
    for (let frame = summary.firstFrame; frame < summary.frames; frame += 1) {
      for (const key of this.#table.past.frameKeys(name, frame)) gone.push(key);
    }
    for (let chunk = summary.firstChunk; chunk * CHUNK_UPDATES < summary.count; chunk += 1) {
      gone.push(chunkKey(name, chunk));
    }
    return this.#batch(name, gone, undefined);
  }

  #batch(name: string, gone: readonly string[], after: PastSummary | undefined): PastBatch {
    const writes: StorageWrite[] = gone.map((key) => ({ type: 'del', key }));
    writes.push(after === undefined ? { type: 'del', key: pastKey(name) } : pastWrite(after));
    return { writes, done: () => this.#table.past.replace(name, after) };
  }

  /** Stores the pages of a keyframe before anything refers to them. */
  async #makeKeyframe(summary: PastSummary, count: number): Promise<Keyframe> {
    const { name, keyframe } = summary;
    const state = await this.#fold(summary, count);
    const generation = (keyframe?.generation ?? 0) + 1;
    const writer = new BatchWriter(this.#directory);
    for await (const [key] of readAll(this.#directory, keyframeRange(name, generation))) {
      await writer.add({ type: 'del', key });
    }
    let pages = 0;
    for (const entries of pagesOf(state)) {
      await writer.add({
        type: 'put',
        key: keyframePageKey(name, generation, pages),
        value: encodePage(new Map(entries)),
      });
      pages += 1;
      await this.#pause();
    }
    await writer.flush();
    const { version, position, entries } = state;
    return { generation, ordinal: count, version, position, pages, entries: entries.size };
  }

  async #fold(summary: PastSummary, count: number): Promise<NamespaceState> {
    const work = stateAfter(this.#table.past, summary, count);
    for (;;) {
      const { done, value } = work.next();
      if (done) return value;
      await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    if (this.#slice.over) await this.#slice.pause();
  }
}

function* keyframeKeys(name: string, keyframe: Keyframe | undefined): Generator<string> {
  for (let page = 0; page < (keyframe?.pages ?? 0); page += 1) {
    yield keyframePageKey(name, keyframe?.generation ?? 0, page);
  }
}

function* pagesOf({ entries }: NamespaceState): Generator<[string, StoredEntry][]> {
  let page: [string, StoredEntry][] = [];
  let bytes = 0;
  for (const [key, entry] of entries) {
    const stored = encodeEntry(entry);
    page.push([key, stored]);
    bytes += stored.bytes.length;
    if (page.length < PAGE_ENTRIES && bytes < PAGE_BYTES) continue;
    yield page;
    page = [];
    bytes = 0;
  }
  if (page.length > 0) yield page;
}

/** Reduces the lives before the position to whether the namespace existed. */
function livesSince({ lives, livedBefore }: PastSummary, position: number): Pick<PastSummary, 'lives' | 'livedBefore'> {
  const later = lives.findIndex((at) => at > position);
  const passed = later === -1 ? lives.length : later;
  if (passed === 0) return { lives, livedBefore };
  // Drops pairs, so that the first one is a birth.
  return { lives: lives.slice(passed - (passed % 2)), livedBefore: false };
}
