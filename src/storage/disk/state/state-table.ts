import { type Clock, systemClock } from '../../../core/clock.ts';
import { NamespaceDigest } from '../../../core/encoding/digest.ts';
import { decodeEntry } from '../../../core/encoding/entry-codec.ts';
import { ContextCacheError } from '../../../core/errors.ts';
import { type EntryRecord, NamespaceState } from '../../../core/namespace-state.ts';
import { NameTable } from '../../../core/tables/name-table.ts';
import { TimeSlice } from '../../../core/time-slice.ts';
import type { Update } from '../../../core/update.ts';
import type { NamespaceSummary, StateSource } from '../../state-source.ts';
import type { LevelDirectory } from '../leveldb/level-directory.ts';
import type { StorageSnapshot, StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { type PastBatch, PastTable } from '../past/past-table.ts';
import {
  decodePage,
  NO_PROGRESS,
  type Page,
  type Progress,
  pageKey,
  progressWrite,
  type StoredNamespace,
} from '../records/state-records.ts';
import { emptySummary, finishFolds, groupByNamespace } from './fold-updates.ts';
import { NamespaceFold } from './namespace-fold.ts';
import { type AdoptedNamespace, adoptNamespaces, wipeState } from './state-adoption.ts';
import { type Paged, StateColumns } from './state-columns.ts';
import { pageOf } from './state-hash.ts';
import { readPast, readProgress, readSummaries } from './state-reading.ts';

/** Options of {@link StateTable.open}. */
export interface StateTableOptions {
  /** Measures the slices of work between which other tasks get a turn. Default: the system clock. */
  readonly clock?: Clock | undefined;
  /** `false` if an external primary keeps the values. Default true. */
  readonly keepValues?: boolean | undefined;
}

/** The part of a log that the table uses; a `LevelLog` fits. */
export interface TrailedLog {
  readonly directory: LevelDirectory;
  readonly head: number;
  readonly first: number;
  beginAfter(position: number): Promise<void>;
}

/** Number of pages read at a time. */
const LOAD_PAGES = 1024;

/**
 * The state on disk, which trails the log. It is always exactly the fold of the log up to {@link
 * StateTable.checkpoint}, because each batch of updates is written together with the checkpoint. Namespaces are read
 * synchronously.
 *
 * @example
 * ```ts
 * const table = await StateTable.open(log);
 * const state = table.hydrate('auth') ?? new NamespaceState('auth');
 * for await (const updates of log.read(table.checkpoint + 1)) {
 *   for (const update of updates) if (update.namespace === 'auth') apply(state, update);
 * }
 * ```
 */
export class StateTable implements StateSource {
  /** Every update up to the checkpoint, by namespace. */
  readonly past: PastTable;
  readonly nameTable: NameTable;
  readonly #directory: LevelDirectory;
  readonly #clock: Clock;
  readonly #keepValues: boolean;
  #progress: Progress;
  #summaries: StateColumns;
  /** While a batch is being written, readers use this snapshot of the storage from before it. */
  #view: StorageSnapshot | undefined;
  /** Positions before this one are unreadable at once, before that is stored. */
  #floor = 0;
  /** The last task that changes the table; such tasks run one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  /** An adoption has failed half-way. Its leftovers must be removed before anything else is written. */
  #leftovers = false;
  /** Increases when the storage was reopened and everything in memory was read again. */
  #generation = 0;

  private constructor(
    directory: LevelDirectory,
    options: StateTableOptions,
    progress: Progress,
    names: NameTable,
    summaries: StateColumns,
  ) {
    this.#directory = directory;
    this.#clock = options.clock ?? systemClock;
    this.#keepValues = options.keepValues ?? true;
    this.past = new PastTable(directory, { keepFrames: this.#keepValues, view: () => this.#view, names });
    this.nameTable = names;
    this.#progress = progress;
    this.#summaries = summaries;
    directory.onReopened(() => this.#reload());
  }

  /**
   * Reads the metadata of the namespaces, not their entries. Undoes a restore that was interrupted, or finishes it if
   * only the start of the log was missing.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` for damage, and if the log and the table do not fit.
   */
  static async open(log: TrailedLog, options: StateTableOptions = {}): Promise<StateTable> {
    const { directory } = log;
    const found = await readProgress(directory);
    if (found.adopting) await wipeState(directory);
    const progress = found.adopting ? NO_PROGRESS : found;
    const { checkpoint, adopted } = progress;
    if (log.head === 0 && checkpoint > 0 && adopted === checkpoint) await log.beginAfter(checkpoint);
    if (checkpoint > log.head || checkpoint < log.first - 1) {
      throw corrupt(
        `The state in ${directory.path} is that of position ${checkpoint}, but the log holds positions ${log.first} to ${log.head}`,
      );
    }
    const names = new NameTable();
    const summaries = await readSummaries(directory, progress, names);
    const table = new StateTable(directory, options, progress, names, summaries);
    (await readPast(directory, table.past, progress, summaries)).use();
    table.#readOnce();
    return table;
  }

  /** The table is the fold of the log up to this position. */
  get checkpoint(): number {
    return this.#progress.checkpoint;
  }

  /** Start of the past: the instants of updates are numbered from here. */
  get begins(): number {
    return this.#progress.begins;
  }

  /** The oldest position whose state can be read. */
  get since(): number {
    return Math.max(this.#progress.since, this.#floor);
  }

  /** `false` if an external primary keeps the values. */
  get keepsValues(): boolean {
    return this.#keepValues;
  }

  /** Iterates over the namespaces as of the checkpoint. Must not be used across an `await`. */
  names(): Iterable<string> {
    return this.#summaries.names();
  }

  /** Returns the metadata. `nextExpiryAt` is exact for a namespace of one page, otherwise a lower bound. */
  summary(namespace: string): NamespaceSummary | undefined {
    return this.#summaries.get(namespace);
  }

  /** Returns whether the namespace exists, even if it is empty. */
  has(namespace: string): boolean {
    return this.#summaries.has(namespace);
  }

  /**
   * Returns an entry as of the checkpoint, expired or not.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE` while the storage is being reopened, `LOG_CORRUPT`, `CLOSED`.
   */
  get(namespace: string, key: string): EntryRecord | undefined {
    const paged = this.#summaries.paged(namespace);
    const stored = paged && this.#readPage(paged, pageOf(key, paged.pages)).get(key);
    return stored && decodeEntry(stored);
  }

  /**
   * Returns the namespace as of the checkpoint; `undefined` if it does not exist. Throws as {@link StateTable.get}
   * does.
   */
  hydrate(namespace: string): NamespaceState | undefined {
    const summary = this.#summaries.get(namespace);
    if (summary === undefined) return undefined;
    const state = new NamespaceState(namespace);
    const digest = new NamespaceDigest();
    for (let page = 0; page < summary.pages; page += 1) {
      for (const [key, stored] of this.#readPage(summary, page)) {
        state.put(key, decodeEntry(stored));
        digest.add(key, stored);
      }
    }
    const found = digest.at(summary.version);
    // Every page may be intact, but not all of them of the same checkpoint.
    if (state.entries.size !== summary.count || found !== (summary.digest ?? found)) {
      throw corrupt(
        `Namespace ${JSON.stringify(namespace)} in ${this.#directory.path} is not what was written last ` +
          `(${state.entries.size} entries, ${summary.count} expected); run "context-cache verify" for details`,
      );
    }
    state.version = summary.version;
    state.position = summary.position;
    return state;
  }

  /**
   * Folds in the log's next updates, all up to `through`, in order. Skips those at or before the checkpoint. Rejects if
   * the batch could not be written; the table is then in its state before or after the batch.
   *
   * Syncs the batch, although the log could replace it: LevelDB starts a new file for its own log from time to time,
   * and after a power cut the end of the old file may be missing while the new one is there. A batch that is lost below
   * one that is kept would leave outdated pages that nothing detects.
   */
  async applyUpdates(updates: readonly Update[], through: number, signal?: AbortSignal): Promise<void> {
    await this.#exclusively(async (generation) => {
      const slice = new TimeSlice(this.#clock, signal);
      const fresh = updates.filter((update) => update.position > this.checkpoint);
      const progress = { ...this.#progress, checkpoint: Math.max(through, this.checkpoint) };
      const folds = this.#startFolds(fresh);
      const past = await this.past.prepare(folds, fresh, progress.checkpoint - progress.begins, slice);
      await this.#loadNeeded(folds, slice);
      for (const fold of folds) {
        fold.fold();
        if (slice.over) await slice.pause();
      }
      await this.#loadNeeded(folds, slice);
      const writes = await finishFolds(folds, slice);
      const next = { ...progress, namespaces: this.#countAfter(folds) };
      await this.#write([...writes, ...past.writes, progressWrite(next)], true, generation, () => {
        past.done();
        for (const fold of folds) this.#setSummary(fold.name, fold.summary);
        this.#progress = next;
      });
    });
  }

  /**
   * Fills the empty table from a restored snapshot taken at `position`. Then call the log's `beginAfter(position)`; if
   * the process ends in between, the next `open` does it. A failed adoption leaves an empty table.
   *
   * @throws {ContextCacheError} `NOT_EMPTY` if the table holds state.
   */
  async adopt(
    namespaces: AsyncIterable<AdoptedNamespace> | Iterable<AdoptedNamespace>,
    position: number,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#exclusively(async (generation) => {
      if (this.checkpoint !== 0 || this.#summaries.size > 0) {
        throw new ContextCacheError(
          'NOT_EMPTY',
          `${this.#directory.path} already holds state. Restore into a new directory.`,
        );
      }
      await this.#directory.write([progressWrite({ ...NO_PROGRESS, adopting: true, namespaces: 0 })], true);
      this.#leftovers = true;
      const summaries = await adoptNamespaces(
        this.#directory,
        namespaces,
        new TimeSlice(this.#clock, signal),
        this.nameTable,
      );
      const at = { checkpoint: position, adopted: position, begins: position, since: position };
      const progress = { ...NO_PROGRESS, ...at, namespaces: summaries.size };
      await this.#write([progressWrite(progress)], true, generation, () => {
        this.#summaries = summaries;
        this.#progress = progress;
        this.#leftovers = false;
      });
    });
  }

  /** Makes everything before this position unreadable from the call on. Not beyond the checkpoint. */
  async raiseSince(position: number): Promise<void> {
    this.#floor = Math.max(this.#floor, Math.min(position, this.checkpoint));
    await this.#exclusively(async (generation) => {
      const { begins, since } = this.#progress;
      const progress = { ...this.#progress, namespaces: this.#summaries.size, since: this.since };
      const writes = this.past.times.trim(since - begins, this.since - begins);
      await this.#write([progressWrite(progress), ...writes], true, generation, () => {
        this.#progress = progress;
      });
    });
  }

  /** Changes the past between two batches. Not synced: a power cut that revokes it only leaves more than needed. */
  async changePast(prepare: () => PastBatch | undefined): Promise<void> {
    await this.#exclusively(async (generation) => {
      const batch = prepare();
      if (batch !== undefined) await this.#write(batch.writes, false, generation, batch.done);
    });
  }

  /** Runs tasks one after another, in the order of the calls. */
  #exclusively(task: (generation: number) => Promise<void>): Promise<void> {
    const turn = this.#turn.then(async () => {
      if (this.#leftovers) await wipeState(this.#directory);
      this.#leftovers = false;
      await task(this.#generation);
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #startFolds(updates: readonly Update[]): NamespaceFold[] {
    return Array.from(
      groupByNamespace(updates),
      ([name, own]) => new NamespaceFold(this.#summaries.get(name) ?? emptySummary(name), own, this.#keepValues),
    );
  }

  async #loadNeeded(folds: readonly NamespaceFold[], slice: TimeSlice): Promise<void> {
    const needed = folds.flatMap((fold) => Array.from(fold.needed(), ([key, page]) => ({ fold, key, page })));
    for (let i = 0; i < needed.length; i += LOAD_PAGES) {
      const some = needed.slice(i, i + LOAD_PAGES);
      const records = await this.#directory.getMany(some.map(({ key }) => key));
      for (const [index, { fold, page }] of some.entries()) {
        fold.load(page, this.#assertPage(records[index]));
        if (slice.over) await slice.pause();
      }
    }
  }

  /** Writes a batch. `done` updates the memory; until then readers see what was there before. */
  async #write(writes: readonly StorageWrite[], sync: boolean, generation: number, done: () => void): Promise<void> {
    if (generation !== this.#generation) {
      throw new ContextCacheError(
        'LOG_UNAVAILABLE',
        `${this.#directory.path} was reopened in the meantime. Try again.`,
      );
    }
    this.#view ??= this.#directory.snapshot();
    // After a failure the snapshot stays until the storage is reopened, because the outcome of the batch is not known.
    await this.#directory.write(writes, sync);
    const view = this.#view;
    this.#view = undefined;
    done();
    await view?.close();
  }

  #setSummary(name: string, summary: StoredNamespace | undefined): void {
    if (summary === undefined) this.#summaries.delete(name);
    else this.#summaries.set(summary);
  }

  #countAfter(folds: readonly NamespaceFold[]): number {
    let count = this.#summaries.size;
    for (const { name, summary } of folds) count += Number(summary !== undefined) - Number(this.#summaries.has(name));
    return count;
  }

  /**
   * Reads one entry, so that the code is compiled while the opening is awaited. Saves a millisecond of the first read.
   */
  #readOnce(): void {
    for (const name of this.#summaries.names()) {
      const paged = this.#summaries.paged(name);
      if (paged === undefined || paged.count === 0) continue;
      try {
        for (const key of this.#readPage(paged, 0).keys()) return void this.get(name, key);
      } catch {
        // The first reader of this page gets the error.
      }
      return;
    }
  }

  #readPage({ name, count, pages }: Paged, index: number): Page {
    if (count === 0) return new Map();
    const page = decodePage(this.#assertPage(this.#directory.getSync(pageKey(name, index), this.#view)));
    const [key] = page.keys();
    if (key !== undefined && pageOf(key, pages) !== index) {
      throw corrupt(`A page of the state table in ${this.#directory.path} is stored under the key of another one`);
    }
    return page;
  }

  /** Checks that the page is there: every page of a namespace with entries is stored. */
  #assertPage(record: Uint8Array | undefined): Uint8Array | undefined {
    if (record !== undefined || !this.#progress.allPages) return record;
    throw corrupt(`A page of the state table in ${this.#directory.path} is missing`);
  }

  /** Replaces everything in memory in one turn: readers see the state before or after it, never a mixture. */
  async #reload(): Promise<void> {
    const found = await readProgress(this.#directory);
    const progress = found.adopting ? NO_PROGRESS : found;
    const { nameTable } = this;
    const summaries = found.adopting
      ? new StateColumns(nameTable)
      : await readSummaries(this.#directory, found, nameTable);
    const past = await readPast(this.#directory, this.past, progress, summaries, this.#floor).catch((error) => {
      summaries.clear();
      throw error;
    });
    this.#view = undefined;
    this.#generation += 1;
    this.#leftovers = found.adopting;
    this.#progress = progress;
    this.#summaries.clear();
    this.#summaries = summaries;
    past.use();
  }
}
