import type { Clock } from '../../../core/clock.ts';
import { ContextCacheError, toError } from '../../../core/errors.ts';
import type { Files } from '../files.ts';
import type { ClosedSegment } from '../log/compress-segment.ts';
import type { LogFileNames } from '../log/file-log.ts';
import type { UpdateReader } from '../log/logged-update.ts';
import type { IndexChange } from './index-change.ts';
import { fromLog, isDamage, LogReadError, LostUpdates, ThreadNotStarted } from './index-errors.ts';
import { IndexFiles } from './index-files.ts';
import { misfitOf } from './index-fit.ts';
import type { IndexHost, IndexTask } from './index-host.ts';
import type { LevelStorage, OpenStorage } from './leveldb/level-storage.ts';
import { PinnedStorage } from './leveldb/pinned-storage.ts';
import { corrupt } from './leveldb/sealed.ts';
import { LocalHost } from './local-host.ts';
import { LogTruth, type TruthfulLog } from './log-truth.ts';
import { type Progress, progressAt } from './records/progress.ts';
import { StateTable } from './state/state-table.ts';
import { WorkerHost } from './worker-host.ts';

/** The part of the log on disk that an index uses. */
export interface IndexableLog extends UpdateReader, TruthfulLog {
  readonly id: string;
  readonly committed: number;
  /** The log's files at present, and where a reader that continues at `from` may begin. */
  names(from?: number): LogFileNames;
  /** Returns the checksum of the update at a position. */
  checksumAt(position: number): number | undefined;
  /** Resolves when the disk has everything that is committed. */
  sync(): Promise<void>;
}

/** An event in the life of an index. */
export type IndexEvent =
  /** It is rebuilt from base and log. Reads are slower meanwhile. */
  | { readonly type: 'rebuilding'; readonly reason: string; readonly from: number; readonly to: number }
  /** It has reached the position at which the rebuilding began. */
  | { readonly type: 'rebuilt'; readonly checkpoint: number }
  /** It could not be written or read; it is opened again. */
  | { readonly type: 'failed'; readonly cause: Error };

/** Options of {@link DiskIndex.open}. */
export interface DiskIndexOptions {
  readonly log: IndexableLog;
  readonly files: Files;
  readonly clock: Clock;
  /** `false` if an external primary keeps the values. */
  readonly keepsValues: boolean;
  readonly onEvent: (event: IndexEvent) => void;
  /** `true` writes the index in this thread. */
  readonly inThread: boolean;
  /** Opens the storage of an index in this thread. */
  readonly openStorage: OpenStorage;
  /** `true`: folds nothing by itself before {@link DiskIndex.follow}. Default false. */
  readonly waits?: boolean | undefined;
}

/** Number of failures in a row to open an index after which it is rebuilt. */
const MOST_FAILURES = 3;

/**
 * The index of a data directory: state and past in LevelDB, derived from base and log. If it is missing, damaged, foreign
 * or of another format it is rebuilt, and base and log answer meanwhile.
 */
export class DiskIndex {
  readonly table: StateTable;
  readonly #options: DiskIndexOptions;
  readonly #files: IndexFiles;
  #host: IndexHost;
  /** `true` once the thread could not be started: the index is then written in this one. */
  #isThreadless = false;
  #storage: LevelStorage | undefined;
  /** Why the index must be rebuilt; `undefined` if it must not. */
  #damage: string | undefined;
  /** Settles when the mark of the last damage is stored. */
  #marking: Promise<void> = Promise.resolve();
  /** `true` if the index must be opened again before the next call. */
  #isBroken = true;
  /** Number of openings in a row that have failed. */
  #failures = 0;
  /** Position at which the running rebuild ends; `undefined` if none is running. */
  #rebuildingTo: number | undefined;
  #isRebuildReported = false;
  #lost: (cause: Error) => void = () => {};
  /** The last opening or closing; they take turns. */
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;
  /**
   * `true` while memory takes what the log is ahead: a namespace that is hydrated meanwhile must not be newer than the
   * updates to come, and another thread's work would slow down the opening.
   */
  #waits: boolean;

  private constructor(options: DiskIndexOptions) {
    const { log, files, waits = false } = options;
    this.#waits = waits;
    this.#options = options;
    this.#files = new IndexFiles(files, log.path);
    this.#host = this.#newHost(options.inThread);
    this.table = new StateTable({
      progress: this.#beginning(),
      updates: log,
      truth: new LogTruth(files, log),
      onDamage: (cause) => this.#fail(cause),
    });
  }

  /**
   * Opens the index. One that cannot be used is rebuilt or opened again later.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` if the index has updates that the log has lost.
   */
  static async open(options: DiskIndexOptions): Promise<DiskIndex> {
    const index = new DiskIndex(options);
    try {
      index.#damage = await index.#files.enter();
    } catch (thrown) {
      // The counter of openings cannot be read or written, which says nothing about the index.
      options.onEvent({ type: 'failed', cause: toError(thrown) });
    }
    try {
      await index.connect();
    } catch (thrown) {
      const cause = toError(thrown);
      if (cause instanceof LostUpdates) {
        await index.close();
        throw new ContextCacheError('LOG_CORRUPT', cause.message, { cause });
      }
      options.onEvent({ type: 'failed', cause });
    }
    return index;
  }

  /** Calls `lost` when {@link DiskIndex.connect} must be called again. */
  onLost(lost: (cause: Error) => void): void {
    this.#lost = lost;
  }

  /** Folds in what the log is ahead, and does so after each opening from now on. */
  follow(): void {
    this.#waits = false;
    if (!this.#isBroken) this.#catchUp();
  }

  /** Opens the index again if it has failed. Resolves with its checkpoint. */
  async connect(): Promise<number> {
    const turn = this.#turn.then(async () => {
      if (this.#closed) throw closed();
      if (this.#isBroken || this.#damage !== undefined) await this.#reopen();
    });
    this.#turn = turn.catch(() => undefined);
    await turn;
    return this.table.checkpoint;
  }

  /** Folds in everything up to a committed position. Rejects if {@link DiskIndex.connect} must be called again. */
  fold(through: number): Promise<void> {
    return this.#run({ type: 'fold', through });
  }

  /** Makes everything before this position unreadable from the call on. Not beyond the checkpoint. */
  raiseSince(position: number): Promise<void> {
    this.table.raiseFloor(position);
    return this.#run({ type: 'since', position });
  }

  /**
   * Removes the past before a position, which no view uses. When it has resolved, the log may release everything up to
   * the position. `wholly` returns the space to the disk now.
   */
  trim(position: number, wholly: boolean): Promise<void> {
    this.table.raiseFloor(position);
    return this.#run({ type: 'trim', position, wholly });
  }

  /** Pins the records of the index as they are now, for a long read. Returns `undefined` while the index is not open. */
  pin(): PinnedStorage | undefined {
    const storage = this.#storage;
    return storage === undefined || !this.table.isReadable
      ? undefined
      : new PinnedStorage(storage, this.#files.location);
  }

  /**
   * Writes the compressed form of a file of the log beside it. Resolves with `false` if the index must be opened again first.
   */
  async compress(file: ClosedSegment): Promise<boolean> {
    const storage = this.#storage;
    const isUsable = () => !this.#closed && !this.#isBroken && this.#storage === storage;
    if (storage === undefined || !isUsable()) return false;
    try {
      await this.#host.run({ type: 'compress', file }, this.#options.log.names());
    } catch (thrown) {
      if (thrown instanceof ThreadNotStarted) this.#fail(thrown);
      if (isUsable()) throw thrown;
      return false;
    }
    return true;
  }

  /** Removes the index and rebuilds it from base and log. Resolves when it has reached what is committed now. */
  async rebuild(reason: string): Promise<void> {
    this.#fail(corrupt(reason));
    await this.connect();
    await this.fold(this.#options.log.committed);
  }

  /** Ends after the batch that is being written. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#turn;
    await this.#disconnect();
    await this.#marking;
    if (!this.#isBroken) await this.#files.leave().catch(() => undefined);
  }

  async #run(task: IndexTask): Promise<void> {
    if (this.#closed) throw closed();
    if (this.#isBroken || this.#damage !== undefined) {
      throw new ContextCacheError('LOG_UNAVAILABLE', 'The index is being opened again. It recovers by itself.');
    }
    try {
      const { log } = this.#options;
      const names = log.names(this.table.checkpoint + 1);
      // An index that is ahead of what the disk has would look as if the log had lost updates.
      if (task.type === 'fold') await log.sync();
      await this.#host.run(task, names);
    } catch (thrown) {
      const error = toError(thrown);
      this.#fail(error);
      throw error;
    }
  }

  async #reopen(): Promise<void> {
    await this.#disconnect();
    this.#isBroken = false;
    try {
      if (this.#damage === undefined && (await this.#load())) return;
      await this.#rebuild(this.#damage ?? 'it is missing');
    } catch (error) {
      this.#isBroken = true;
      throw error;
    }
  }

  /** Reads the index. Resolves with `false`, and the reason in `#damage`, if it must be rebuilt. */
  async #load(): Promise<boolean> {
    try {
      await this.#files.prepare();
      this.#storage = await this.#host.open();
      if (!(await this.table.load(this.#storage, (progress) => this.#check(progress)))) return false;
      await this.#files.opened(this.table.checkpoint).catch(() => undefined);
      this.#failures = 0;
      this.#catchUp();
      return true;
    } catch (thrown) {
      const error = toError(thrown);
      // An error of the log, or of the system, is not at once a reason to remove an index that may be whole.
      this.#failures += 1;
      const isOfLog = error instanceof LogReadError || error instanceof LostUpdates;
      const isHopeless = !isOfLog && this.#failures >= MOST_FAILURES;
      if (!isDamage(error) && !isHopeless) throw error;
      this.#damage = error.message;
      return false;
    }
  }

  async #rebuild(reason: string): Promise<void> {
    const { log, onEvent } = this.#options;
    await this.#disconnect();
    // A mark that is written later would condemn the new index.
    await this.#marking;
    await this.#files.remove();
    await this.#files.prepare();
    const beginning = this.#beginning();
    this.table.reset(beginning);
    this.#storage = await this.#host.open();
    this.#damage = undefined;
    this.#failures = 0;
    this.#rebuildingTo = log.committed;
    // A directory that is new, or was restored or forked, has nothing to rebuild.
    this.#isRebuildReported = log.committed > beginning.checkpoint;
    if (this.#isRebuildReported) onEvent({ type: 'rebuilding', reason, from: beginning.checkpoint, to: log.committed });
    this.#catchUp();
  }

  /** Checks that the index belongs to the log, and that the log still has what it refers to. */
  async #check(progress: Progress): Promise<void> {
    const { log, keepsValues } = this.#options;
    const misfit = misfitOf(progress, {
      ...{ path: log.path, log: log.id, base: log.names().base, head: log.committed, keepsValues },
      checksumAt: (position) => fromLog(() => log.checksumAt(position)),
    });
    if (misfit === undefined) return;
    throw misfit.isAhead ? new LostUpdates(misfit.reason) : corrupt(`The index does not fit the log: ${misfit.reason}`);
  }

  /** Folds in what the log is ahead, without being asked to: there may be no further update. */
  #catchUp(): void {
    const { committed } = this.#options.log;
    if (!this.#waits && committed > this.table.checkpoint) void this.fold(committed).catch(() => undefined);
  }

  async #take(change: IndexChange): Promise<void> {
    if (change.isNew && this.#storage !== undefined) await this.table.load(this.#storage, async () => {});
    else this.table.take(change);
    const { checkpoint } = this.table;
    if (this.#rebuildingTo === undefined || checkpoint < this.#rebuildingTo) return;
    if (this.#isRebuildReported) this.#options.onEvent({ type: 'rebuilt', checkpoint });
    this.#rebuildingTo = undefined;
  }

  #newHost(inThread: boolean): IndexHost {
    const { log, files, clock, keepsValues, openStorage } = this.#options;
    const { location } = this.#files;
    const take = (change: IndexChange) => this.#take(change);
    return inThread
      ? new LocalHost({ files, path: log.path, log: log.id, location, openStorage, keepsValues, clock, take })
      : new WorkerHost({
          ...{ path: log.path, log: log.id, location, keepsValues, take },
          checkpoint: () => this.table.checkpoint,
        });
  }

  /** Notes a failure. The index is opened again, or rebuilt if it is damaged. */
  #fail(cause: Error): void {
    if (this.#closed || this.#damage !== undefined) return;
    if (cause instanceof ThreadNotStarted) this.#isThreadless = true;
    if (isDamage(cause)) {
      this.#damage = cause.message;
      this.#marking = this.#files.markDamaged(cause.message).catch(() => undefined);
    } else if (this.#isBroken) return;
    this.#isBroken = true;
    this.#options.onEvent({ type: 'failed', cause });
    this.#lost(cause);
  }

  async #disconnect(): Promise<void> {
    this.#storage = undefined;
    await this.table.detach();
    await this.#host.close();
    if (this.#isThreadless) this.#host = this.#newHost(true);
  }

  #beginning(): Progress {
    const { log, keepsValues } = this.#options;
    return progressAt(log.names().base, log.id, keepsValues);
  }
}

function closed(): ContextCacheError {
  return new ContextCacheError('CLOSED', 'The index has been closed.');
}
