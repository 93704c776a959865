import { NamespaceDigest } from '../../../../core/encoding/digest.ts';
import { decodeEntry } from '../../../../core/encoding/entry-codec.ts';
import { ContextCacheError, toError } from '../../../../core/errors.ts';
import { type EntryRecord, NamespaceState } from '../../../../core/namespace-state.ts';
import { NameTable } from '../../../../core/tables/name-table.ts';
import type { NamespaceSummary, StateSource } from '../../../state-source.ts';
import type { UpdateReader } from '../../log/logged-update.ts';
import type { IndexChange } from '../index-change.ts';
import { isDamage, LogReadError } from '../index-errors.ts';
import type { LevelStorage, StorageSnapshot } from '../leveldb/level-storage.ts';
import { corrupt } from '../leveldb/sealed.ts';
import type { LogTruth } from '../log-truth.ts';
import { PastTable } from '../past/past-table.ts';
import type { Progress } from '../records/progress.ts';
import { decodePage, type Page, pageKey } from '../records/state-records.ts';
import { type Paged, StateColumns } from './state-columns.ts';
import { pageOf } from './state-hash.ts';
import { type LoadedIndex, readIndex } from './state-reading.ts';

/** Options of {@link StateTable}. */
export interface StateTableOptions {
  /** The table before an index was read: empty, and as far as the base. */
  readonly progress: Progress;
  readonly updates: UpdateReader;
  readonly truth: LogTruth;
  /** Called when a record of the index cannot be read, with the reason. The caller then reads base and log. */
  readonly onDamage: (cause: Error) => void;
}

/**
 * The state on disk as of {@link StateTable.checkpoint}, and the past, which trail the log. Read synchronously, always
 * through a snapshot of the storage that fits what is in memory. While there is no index, or one of its records cannot
 * be read, the base and the log answer.
 */
export class StateTable implements StateSource {
  /** Every update up to the checkpoint, by namespace. */
  readonly past: PastTable;
  readonly nameTable = new NameTable();
  /** Base and log. */
  readonly truth: LogTruth;
  readonly #onDamage: (cause: Error) => void;
  #progress: Progress;
  #summaries = new StateColumns(this.nameTable);
  /** `undefined` while nothing can be read. */
  #storage: LevelStorage | undefined;
  #view: StorageSnapshot | undefined;
  #isLoaded = false;
  /** `true` once a damaged record was found: no other one is trusted until the index is rebuilt. */
  #isDistrusted = false;
  #generation = 0;
  /** Positions before this one are unreadable at once, before that is stored. */
  #floor = 0;
  #reached: number;

  constructor({ progress, updates, truth, onDamage }: StateTableOptions) {
    this.#progress = progress;
    this.#reached = progress.checkpoint;
    this.truth = truth;
    this.#onDamage = onDamage;
    const count = () => this.checkpoint - this.begins;
    this.past = new PastTable({ read: (key) => this.#read(key), updates, names: this.nameTable, count });
  }

  /** The table is the fold of the log up to this position. */
  get checkpoint(): number {
    return this.#progress.checkpoint;
  }

  /** The highest checkpoint so far. While the index is rebuilt, the present one is lower. */
  get reached(): number {
    return this.#reached;
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
    return this.#progress.keepsValues;
  }

  /** `false` while the index is missing, being reopened, rebuilt or known to be damaged: reads are slow. */
  get isReadable(): boolean {
    return this.#storage !== undefined && !this.#isDistrusted;
  }

  /** `true` if the table holds an index. Otherwise it is at the base. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /** Increases when the index is read again or discarded, because the ordinals of updates may have changed. */
  get generation(): number {
    return this.#generation;
  }

  /** Iterates over the names of the namespaces as of the checkpoint. Must not be used across an `await`. */
  names(): Iterable<string> {
    return this.#isLoaded ? this.#summaries.names() : this.truth.names(this.checkpoint);
  }

  /** Returns the metadata. `nextExpiryAt` is exact for a namespace of one page, otherwise a lower bound. */
  summary(namespace: string): NamespaceSummary | undefined {
    return this.#isLoaded ? this.#summaries.get(namespace) : this.truth.summaryAt(namespace, this.checkpoint);
  }

  /** Returns whether the namespace exists, even if it is empty. */
  has(namespace: string): boolean {
    return this.#isLoaded ? this.#summaries.has(namespace) : this.summary(namespace) !== undefined;
  }

  /**
   * Returns an entry as of the checkpoint, expired or not.
   *
   * @throws {ContextCacheError} as {@link LogTruth} does if the index cannot be read.
   */
  get(namespace: string, key: string): EntryRecord | undefined {
    return this.readOr(
      () => {
        const paged = this.#summaries.paged(namespace);
        const stored = paged && this.#readPage(paged, pageOf(key, paged.pages)).get(key);
        return stored && decodeEntry(stored);
      },
      () => this.truth.sharedAt(namespace, this.checkpoint)?.entries.get(key),
    );
  }

  /**
   * Returns the namespace as of the checkpoint; `undefined` if it does not exist. Throws as {@link StateTable.get}
   * does.
   */
  hydrate(namespace: string): NamespaceState | undefined {
    return this.readOr(
      () => this.#hydrate(namespace),
      () => this.truth.stateAt(namespace, this.checkpoint),
    );
  }

  /** Returns what `read` reads from the index; if that fails, the failure is reported and `otherwise` is called. */
  readOr<Result>(read: () => Result, otherwise: () => Result): Result {
    if (!this.isReadable) return otherwise();
    try {
      return read();
    } catch (error) {
      // The log is the truth: there is nothing else to read.
      if (error instanceof LogReadError) throw error.cause;
      this.#isDistrusted = isDamage(error);
      this.#onDamage(toError(error));
      return otherwise();
    }
  }

  /**
   * Reads the metadata of all namespaces, not their entries, and uses the storage from then on. Readers see the state
   * before or after it.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` if the index is damaged.
   */
  async load(storage: LevelStorage, check: (progress: Progress) => Promise<void>): Promise<boolean> {
    const view = storage.snapshot();
    try {
      const loaded = await readIndex(storage, view, { names: this.nameTable, floor: this.#floor, check });
      if (loaded === undefined) {
        await view.close();
        return false;
      }
      this.#use(loaded, storage, view);
      this.#readOnce();
      return true;
    } catch (error) {
      await view.close().catch(() => undefined);
      throw error;
    }
  }

  /** Follows a batch of the index. Readers see the state before or after it. */
  take(change: IndexChange): void {
    const storage = this.#storage;
    if (storage === undefined) throw new ContextCacheError('LOG_UNAVAILABLE', 'The index is being reopened.');
    const before = this.#view;
    this.#view = storage.snapshot();
    for (const state of change.states) {
      if (typeof state === 'string') this.#summaries.delete(state);
      else this.#summaries.set(state);
    }
    this.#progress = change.progress;
    this.#reached = Math.max(this.#reached, this.checkpoint);
    this.past.take(change.pasts);
    this.truth.release();
    void before?.close().catch(() => undefined);
  }

  /** Makes everything before this position unreadable from the call on. Not beyond the checkpoint. */
  raiseFloor(position: number): void {
    this.#floor = Math.max(this.#floor, Math.min(position, this.checkpoint));
  }

  /** Stops reading the storage, which is about to be closed. The base and the log answer meanwhile. */
  async detach(): Promise<void> {
    const view = this.#view;
    this.#storage = undefined;
    this.#view = undefined;
    await view?.close().catch(() => undefined);
  }

  /** Forgets the index: it is about to be rebuilt from the base. */
  reset(progress: Progress): void {
    this.#isDistrusted = false;
    this.#isLoaded = false;
    this.#generation += 1;
    this.#progress = progress;
    this.#summaries.clear();
    this.#summaries = new StateColumns(this.nameTable);
    this.past.use(this.past.empty());
  }

  #use({ progress, summaries, pasts }: LoadedIndex, storage: LevelStorage, view: StorageSnapshot): void {
    const before = this.#view;
    this.#isDistrusted = false;
    this.#storage = storage;
    this.#view = view;
    this.#progress = progress;
    this.#reached = Math.max(this.#reached, this.checkpoint);
    this.#summaries.clear();
    this.#summaries = summaries;
    this.past.use(pasts);
    this.#isLoaded = true;
    this.#generation += 1;
    this.truth.release();
    void before?.close().catch(() => undefined);
  }

  #hydrate(namespace: string): NamespaceState | undefined {
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
    // Every page may be intact, but not all of them of the same checkpoint.
    if (state.entries.size !== summary.count || digest.at(summary.version) !== summary.digest) {
      throw corrupt(
        `Namespace ${JSON.stringify(namespace)} in the index is not what was written last ` +
          `(${state.entries.size} entries, ${summary.count} expected)`,
      );
    }
    state.version = summary.version;
    state.position = summary.position;
    return state;
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
    const record = this.#read(pageKey(name, index));
    // Every page of a namespace with entries is stored.
    if (record === undefined) throw corrupt('A page of the index is missing');
    const page = decodePage(record);
    const [key] = page.keys();
    if (key !== undefined && pageOf(key, pages) !== index) {
      throw corrupt('A page of the index is stored under the key of another one');
    }
    return page;
  }

  #read(key: string): Uint8Array | undefined {
    if (this.#storage === undefined) throw new ContextCacheError('LOG_UNAVAILABLE', 'The index is being reopened.');
    return this.#storage.getSync(key, this.#view);
  }
}
