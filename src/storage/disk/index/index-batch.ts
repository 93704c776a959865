import type { TimeSlice } from '../../../core/time-slice.ts';
import { weigh } from '../../update-ring.ts';
import type { LocatedUpdate } from '../log/logged-update.ts';
import type { LevelStorage, StorageWrite } from './leveldb/level-storage.ts';
import { corrupt } from './leveldb/sealed.ts';
import { isFrameDue } from './past/frames.ts';
import { PastFold } from './past/past-fold.ts';
import { BatchWriter } from './records/batch-writer.ts';
import { decodePast, framePageKey, frameWrite, type PastSummary, pastKey } from './records/past-records.ts';
import { decodeSummary, emptySummary, pageKey, type StoredNamespace, summaryKey } from './records/state-records.ts';
import { NamespaceFold } from './state/namespace-fold.ts';

/**
 * Upper bounds of a batch. A key, page or chunk that changes often is written once for many updates. The main thread
 * takes the namespaces of a batch in one turn: about a microsecond each.
 */
const MOST_UPDATES = 32_768;
const MOST_NAMESPACES = 4096;
const MOST_BYTES = 32 * 1024 * 1024;
/**
 * Upper bounds of a batch of an index that is far behind. A million updates of a million keys in 1,000 namespaces take 13 s
 * of processor, and 44 s in batches of 32,768, because each of those changes nearly every page. The process takes 1.0 GB at
 * its peak, and 0.8 GB with those.
 */
const MOST_UPDATES_BEHIND = 262_144;
const MOST_BYTES_BEHIND = 64 * 1024 * 1024;

/** Number of records read at a time. */
const READ = 4096;

/** A namespace of a batch, before and after it. */
interface Folded {
  /** The records before. */
  readonly stored: Uint8Array | undefined;
  readonly known: Uint8Array | undefined;
  readonly state: NamespaceFold;
  readonly past: PastFold;
}

/** Consecutive updates that are folded and written together. */
export class IndexBatch {
  readonly updates: LocatedUpdate[] = [];
  readonly #byName = new Map<string, LocatedUpdate[]>();
  readonly #mostUpdates: number;
  readonly #mostBytes: number;
  #bytes = 0;

  /** `isFarBehind`: many more updates follow this batch. */
  constructor(isFarBehind = false) {
    this.#mostUpdates = isFarBehind ? MOST_UPDATES_BEHIND : MOST_UPDATES;
    this.#mostBytes = isFarBehind ? MOST_BYTES_BEHIND : MOST_BYTES;
  }

  add(update: LocatedUpdate): void {
    const { namespace } = update;
    this.updates.push(update);
    this.#bytes += weigh(update);
    const own = this.#byName.get(namespace);
    if (own === undefined) this.#byName.set(namespace, [update]);
    else own.push(update);
  }

  get isFull(): boolean {
    return (
      this.updates.length >= this.#mostUpdates || this.#byName.size >= MOST_NAMESPACES || this.#bytes >= this.#mostBytes
    );
  }

  /**
   * Reads what the updates change. Copies of pages for the past are written at once: nothing refers to them before the
   * batch.
   */
  async fold(storage: LevelStorage, keepsValues: boolean, slice: TimeSlice): Promise<FoldedBatch> {
    const names = [...this.#byName.keys()];
    const records = await readMany(
      storage,
      names.flatMap((name) => [summaryKey(name), pastKey(name)]),
    );
    const copies = new BatchWriter(storage);
    const writes: StorageWrite[] = [];
    const folded: Folded[] = [];
    for (const [index, [name, updates]] of [...this.#byName].entries()) {
      const stored = records[2 * index];
      const base = stored === undefined ? emptySummary(name) : ownSummary(stored, name);
      const known = ownPast(records[2 * index + 1], name, base);
      const past = new PastFold(base, known, updates);
      if (keepsValues && isFrameDue(base, known)) {
        const { version, position, pages, count: entries } = base;
        await copyPages(storage, copies, base, past.frames);
        writes.push(frameWrite(name, past.frames, { ordinal: past.count, version, position, pages, entries }));
        past.framed();
      }
      const state = new NamespaceFold(base, updates, keepsValues);
      folded.push({ stored, known: records[2 * index + 1], state, past });
      if (slice.over) await slice.pause();
    }
    await copies.flush();
    await loadChunks(
      storage,
      folded.map(({ past }) => past),
    );
    const states = folded.map(({ state }) => state);
    await loadPages(storage, states, slice);
    for (const state of states) {
      state.fold();
      if (slice.over) await slice.pause();
    }
    await loadPages(storage, states, slice);
    for (const { state, past } of folded) {
      state.finish();
      // Not spread into a call: a large namespace has more writes than a call takes arguments.
      for (const write of state.writes()) writes.push(write);
      for (const write of past.writes()) writes.push(write);
      if (slice.over) await slice.pause();
    }
    return new FoldedBatch(writes, folded);
  }
}

/** The writes of a batch, and what it changes in memory. */
export class FoldedBatch {
  readonly writes: StorageWrite[];
  readonly #folded: readonly Folded[];

  constructor(writes: StorageWrite[], folded: readonly Folded[]) {
    this.writes = writes;
    this.#folded = folded;
  }

  /** Number of namespaces that the batch adds, less those that it drops. */
  get added(): number {
    let added = 0;
    for (const { stored, state } of this.#folded)
      added += Number(state.summary !== undefined) - Number(stored !== undefined);
    return added;
  }

  /** The records of namespaces and pasts that the batch replaces or removes. */
  get replaced(): (Uint8Array | undefined)[] {
    return this.#folded.flatMap(({ stored, known }) => [stored, known]);
  }

  get states(): (StoredNamespace | string)[] {
    return this.#folded.map(({ state }) => state.summary ?? state.name);
  }

  get pasts(): PastSummary[] {
    return this.#folded.map(({ past }) => past.summary);
  }
}

/** Decodes the record of a namespace, and checks that it is of this one. */
function ownSummary(record: Uint8Array, name: string): StoredNamespace {
  const summary = decodeSummary(record);
  if (summary.name !== name) throw corrupt('The record of a namespace in the index is stored under another name');
  return summary;
}

function ownPast(record: Uint8Array | undefined, name: string, base: StoredNamespace): PastSummary | undefined {
  const past = record && decodePast(record);
  if (past === undefined) return undefined;
  const fits = past.name === name && past.last >= base.position;
  if (!fits) throw corrupt('The past of a namespace does not end with its last update');
  return past;
}

async function copyPages(
  storage: LevelStorage,
  copies: BatchWriter,
  { name, pages, count }: StoredNamespace,
  frame: number,
): Promise<void> {
  for (let first = 0; first < pages; first += READ) {
    const some = Array.from({ length: Math.min(READ, pages - first) }, (_, index) => first + index);
    const records = await storage.getMany(some.map((page) => pageKey(name, page)));
    for (const [index, page] of some.entries()) {
      const value = records[index];
      if (value === undefined && count > 0) throw missingPage();
      const key = framePageKey(name, frame, page);
      // A failed batch may have left something under this key, which must not be taken for the page.
      await copies.add(value === undefined ? { type: 'del', key } : { type: 'put', key, value });
    }
  }
}

async function loadChunks(storage: LevelStorage, folds: readonly PastFold[]): Promise<void> {
  const needed = folds.filter((fold) => fold.needed !== undefined);
  const records = await readMany(
    storage,
    needed.map((fold) => fold.needed as string),
  );
  for (const [index, fold] of needed.entries()) fold.load(records[index]);
}

async function loadPages(storage: LevelStorage, folds: readonly NamespaceFold[], slice: TimeSlice): Promise<void> {
  const needed = folds.flatMap((fold) => Array.from(fold.needed(), ([key, page]) => ({ fold, key, page })));
  for (let i = 0; i < needed.length; i += READ) {
    const some = needed.slice(i, i + READ);
    const records = await storage.getMany(some.map(({ key }) => key));
    for (const [index, { fold, page }] of some.entries()) {
      const record = records[index];
      if (record === undefined) throw missingPage();
      fold.load(page, record);
      if (slice.over) await slice.pause();
    }
  }
}

/** Every page of a namespace with entries is stored, so one that is not stored is lost. */
function missingPage(): Error {
  return corrupt('A page of the index is missing');
}

async function readMany(storage: LevelStorage, keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
  const records: (Uint8Array | undefined)[] = [];
  for (let i = 0; i < keys.length; i += READ) records.push(...(await storage.getMany(keys.slice(i, i + READ))));
  return records;
}
