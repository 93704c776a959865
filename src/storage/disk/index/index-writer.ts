import type { Clock } from '../../../core/clock.ts';
import { toError } from '../../../core/errors.ts';
import { TimeSlice } from '../../../core/time-slice.ts';
import type { BaseNamespace, IndexedLog, UpdateReader } from '../log/logged-update.ts';
import { IndexBatch } from './index-batch.ts';
import type { IndexChange, TakeChange } from './index-change.ts';
import { LogReadError } from './index-errors.ts';
import type { KeyRange, LevelStorage, StorageWrite } from './leveldb/level-storage.ts';
import { corrupt } from './leveldb/sealed.ts';
import { PastReader } from './past/past-reader.ts';
import { PastTrim } from './past/past-trim.ts';
import { PAST_KEYS, timesKey } from './records/past-records.ts';
import { decodeProgress, PROGRESS_KEY, type Progress, progressAt, progressWrite } from './records/progress.ts';
import { sumAfter } from './records/record-sum.ts';
import { lastRecord, timesAfter, timesTrimmed } from './records/times-codec.ts';
import { adoptNamespaces } from './state/adoption.ts';

/** Every key that the index uses. */
const ALL: KeyRange = { gte: '!', lt: '"' };

/** More updates than this are folded in large batches. */
const FAR_BEHIND = 131_072;

/** The log, as the index reads it. */
export type ReadLog = IndexedLog & UpdateReader;

/** Options of {@link IndexWriter}. */
export interface IndexWriterOptions {
  readonly storage: LevelStorage;
  readonly log: ReadLog;
  /** `false` if an external primary keeps the values. */
  readonly keepsValues: boolean;
  /** Measures the slices of work between which other tasks get a turn. */
  readonly clock: Clock;
  readonly take: TakeChange;
  /** Ends the work. A batch that is being written is written completely. */
  readonly signal: AbortSignal;
}

/**
 * Writes the index. Keeps nothing in memory but its progress: what a batch changes is read from the storage.
 *
 * Every batch is synced, although the log could replace it: LevelDB starts a new file for its own log from time to time,
 * and after a power cut the end of the old file may be missing while the new one is there. A batch that is lost below
 * one that is kept would leave outdated pages that nothing detects.
 */
export class IndexWriter {
  readonly #storage: LevelStorage;
  readonly #log: ReadLog;
  readonly #keepsValues: boolean;
  readonly #clock: Clock;
  readonly #take: TakeChange;
  #progress: Progress;
  /** Settles when the main thread has taken the last batch. */
  #taken: Promise<void> = Promise.resolve();
  /** The last task that writes; such tasks run one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #signal: AbortSignal;

  private constructor({ storage, log, keepsValues, clock, take, signal }: IndexWriterOptions, progress: Progress) {
    this.#storage = storage;
    this.#log = log;
    this.#keepsValues = keepsValues;
    this.#clock = clock;
    this.#take = take;
    this.#signal = signal;
    this.#progress = progress;
  }

  /** Continues the index in the storage. If it is missing or incomplete, starts a new one with the base. */
  static async open(options: IndexWriterOptions): Promise<IndexWriter> {
    const [record] = await options.storage.getMany([PROGRESS_KEY]);
    const found = record && decodeProgress(record);
    if (found !== undefined && !found.adopting) return new IndexWriter(options, found);
    const { log, keepsValues } = options;
    const writer = new IndexWriter(options, progressAt(log.base, log.id, keepsValues));
    await writer.#adopt();
    return writer;
  }

  get checkpoint(): number {
    return this.#progress.checkpoint;
  }

  /**
   * Folds in everything up to a committed position, and resolves when the main thread has taken it.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` or `INVARIANT` if the index is damaged or does not belong to the log.
   */
  async fold(through: number): Promise<void> {
    if (this.checkpoint < through) await this.#exclusively(() => this.#foldBatches(through));
    await this.#taken;
  }

  /** Stores that positions before this one cannot be read any more. Not beyond the checkpoint. */
  async raiseSince(position: number): Promise<void> {
    await this.#exclusively(async () => {
      const { begins, since: before } = this.#progress;
      const since = Math.max(before, Math.min(position, this.checkpoint));
      const writes = timesTrimmed(before - begins, since - begins);
      await this.#write({ ...this.#progress, since }, writes);
    });
    await this.#taken;
  }

  /**
   * Removes the past before a position. Afterwards no state from the position on needs an update before it. `wholly`
   * returns its space to the disk now.
   */
  async trim(position: number, wholly: boolean): Promise<void> {
    await this.raiseSince(position);
    const storage = this.#storage;
    const trim = new PastTrim({
      storage,
      reader: new PastReader((key) => storage.getSync(key), this.#log),
      keepsFrames: this.#keepsValues,
      position,
      slice: new TimeSlice(this.#clock, this.#signal),
    });
    for (let next: string | undefined = ''; next !== undefined; ) {
      const from: string = next;
      await this.#exclusively(async () => {
        const { writes, pasts, replaced, rest } = await trim.step(from);
        const sum = sumAfter(this.#progress.sum, replaced, writes);
        if (writes.length > 0) await this.#write({ ...this.#progress, sum }, writes, { pasts });
        next = rest;
      });
    }
    await this.#taken;
    await this.#exclusively(() =>
      this.#write({ ...this.#progress, trimmed: Math.max(position, this.#progress.trimmed) }, []),
    );
    await this.#taken;
    // Removed records lie between kept ones and a compaction rewrites both, so it is done only on request. LevelDB
    // compacts these records often enough by itself.
    if (wholly) await storage.compact(PAST_KEYS);
  }

  async #adopt(): Promise<void> {
    const progress = this.#progress;
    await this.#storage.clear(ALL);
    await this.#storage.batch([progressWrite({ ...progress, adopting: true })], true);
    const slice = new TimeSlice(this.#clock, this.#signal);
    const adopted = await adoptNamespaces(this.#storage, this.#base(), this.#keepsValues, slice);
    await this.#write({ ...progress, ...adopted }, [], { isNew: true });
    await this.#taken;
  }

  async #foldBatches(through: number): Promise<void> {
    const isFarBehind = through - this.checkpoint > FAR_BEHIND;
    let batch = new IndexBatch(isFarBehind);
    let next = this.checkpoint + 1;
    for await (const group of guarded(this.#log.readLocated(next, through))) {
      for (const update of group) {
        if (update.position !== next) throw new LogReadError(`The log has no update at position ${next}.`);
        next += 1;
        batch.add(update);
        if (!batch.isFull) continue;
        await this.#foldBatch(batch);
        batch = new IndexBatch(isFarBehind);
      }
    }
    if (next <= through) throw new LogReadError(`The log ends before position ${next}.`);
    if (batch.updates.length > 0) await this.#foldBatch(batch);
  }

  async #foldBatch(batch: IndexBatch): Promise<void> {
    const { updates } = batch;
    const last = updates.at(-1);
    if (last === undefined) return;
    const slice = new TimeSlice(this.#clock, this.#signal);
    const { checkpoint: before, begins, namespaces, sum } = this.#progress;
    const folded = await batch.fold(this.#storage, this.#keepsValues, slice);
    const timed = before - begins;
    const [times] = timed === 0 ? [] : await this.#storage.getMany([timesKey(lastRecord(timed))]);
    if (timed > 0 && times === undefined) throw corrupt('The instants of updates are missing');
    const writes = [...folded.writes, ...timesAfter(times, timed, updates)];
    const progress = {
      ...this.#progress,
      checkpoint: last.position,
      fingerprint: last.checksum,
      namespaces: namespaces + folded.added,
      sum: sumAfter(sum, folded.replaced, folded.writes),
    };
    await this.#write(progress, writes, { states: folded.states, pasts: folded.pasts });
  }

  /** Writes a batch once the main thread has taken the one before, so that its memory always fits a snapshot. */
  async #write(progress: Progress, writes: StorageWrite[], change: Partial<IndexChange> = {}): Promise<void> {
    await this.#taken;
    this.#signal.throwIfAborted();
    await this.#storage.batch([...writes, progressWrite(progress)], true);
    this.#progress = progress;
    this.#taken = this.#take({ progress, states: [], pasts: [], isNew: false, ...change });
    // Awaited by the next batch and at the end of every task.
    this.#taken.catch(() => undefined);
  }

  async *#base(): AsyncGenerator<BaseNamespace> {
    if (this.#log.base === 0) return;
    for await (const namespace of guarded(this.#log.readBase())) {
      this.#signal.throwIfAborted();
      yield namespace;
    }
  }

  /**
   * Runs a task behind those before it. After a failure all later ones fail with the same error: the storage may hold a
   * batch that is not in the progress.
   */
  #exclusively(task: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(() => {
      this.#signal.throwIfAborted();
      return task();
    });
    this.#turn = turn;
    turn.catch(() => undefined);
    return turn;
  }
}

/** Marks errors of the log, so that they are not taken for damage of the index. */
async function* guarded<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item> {
  try {
    yield* items;
  } catch (cause) {
    throw new LogReadError(toError(cause).message, { cause });
  }
}
