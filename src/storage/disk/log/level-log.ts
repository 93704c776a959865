import { type Clock, systemClock } from '../../../core/clock.ts';
import type { PendingUpdate, Update } from '../../../core/update.ts';
import type { ConfigStore } from '../../config-store.ts';
import {
  closed,
  isFollowed,
  noSuchCheckpoint,
  notAppended,
  notAtHand,
  notEmpty,
  notHeld,
  overloaded,
  unavailable,
} from '../../log-errors.ts';
import { type ErrorHandler, LogSignals, throwOutside } from '../../log-signals.ts';
import type { FollowerCheckpoint, LogFollower, LogStatus, UpdateLog } from '../../update-log.ts';
import { type RingCapacity, UpdateRing } from '../../update-ring.ts';
import { LevelConfigStore } from '../leveldb/level-config-store.ts';
import { LevelDirectory } from '../leveldb/level-directory.ts';
import { type OpenStorage, openClassicLevel } from '../leveldb/level-storage.ts';
import { BlockIndex } from './block-index.ts';
import { BlockReader, blockBegin, findHead, removeBlocks } from './block-reader.ts';
import { Checkpoints } from './checkpoints.ts';
import { type CommitGroup, GroupWriter } from './group-writer.ts';
import { LevelFollower } from './level-follower.ts';

/**
 * Options of {@link LevelLog.open}. The capacities bound the latest updates that are kept in memory for followers. If
 * `capacityUpdates` is not given, 16,384 are kept, and up to 65,536 while a follower has not received them.
 */
export interface LevelLogOptions extends RingCapacity {
  /** The data directory. Created with mode 0700 if it does not exist. Used by one process at a time. */
  readonly dataDir: string;
  /** Times the back-off after a failure. Default: the system clock. */
  readonly clock?: Clock | undefined;
  /**
   * `true` if a group counts as committed only when the disk has it. Default true. With false it survives a crash of
   * the process but not of the machine.
   */
  readonly sync?: boolean | undefined;
  /** Estimated bytes that may wait to be written before `append` throws `OVERLOADED`. Default 256 MiB. */
  readonly maxPendingBytes?: number | undefined;
  /** Receives what a listener throws. Default: thrown outside the log, as an uncaught exception. */
  readonly onError?: ErrorHandler | undefined;
  /** Opens the storage engine. Default: LevelDB. */
  readonly openStorage?: OpenStorage | undefined;
}

/** Parts that {@link LevelLog.open} has read. */
interface Opened {
  readonly directory: LevelDirectory;
  readonly configStore: ConfigStore;
  readonly checkpoints: Checkpoints;
  readonly head: number;
}

const DEFAULT_PENDING_BYTES = 256 * 1024 * 1024;
/** Number of latest updates that are kept in memory for any follower; … */
const KEPT_UPDATES = 16_384;
/** … and while a follower has not received them: reading them from disk costs ten times as much. */
const FOLLOWED_UPDATES = 4 * KEPT_UPDATES;
/** Number of updates that `read` yields at a time. */
const READ_GROUP = 4096;

/**
 * A log in a data directory. Updates appended while a group is being written go with the next group.
 *
 * If a write fails, the log is `degraded`: what is not written yet rejects with `OUTCOME_UNKNOWN`, appends are refused,
 * reads continue. The log closes the storage, reopens it, checks whether the group with the unknown outcome is there,
 * writes what is missing in order and is `ready` again.
 *
 * @example
 * ```ts
 * const log = await LevelLog.open({ dataDir: './context' });
 * const set = { namespace: 'auth', version: 1, operation: 'set', key: 'token', value: 't-1', bytes: 5 } as const;
 * log.append([createUpdate({ ...set, at: clock.now() })]);
 * await log.flush();
 * await log.close();
 * ```
 */
export class LevelLog implements UpdateLog {
  readonly durable = true;
  /** The directory, shared with the state table. */
  readonly directory: LevelDirectory;
  /** Topics, backup settings and the like. */
  readonly configStore: ConfigStore;
  readonly #maxPendingBytes: number;
  readonly #checkpoints: Checkpoints;
  readonly #signals: LogSignals;
  readonly #writer: GroupWriter;
  /** The latest committed updates. */
  readonly #tail: UpdateRing;
  /** Number of updates that stay in the tail even if every follower has received them. */
  readonly #kept: number;
  readonly #followers = new Map<string, LevelFollower>();
  #blocks: BlockIndex | undefined;
  #status: LogStatus = 'ready';
  #head: number;
  #committed: number;
  #beginning = false;
  #closing: Promise<void> | undefined;

  private constructor(options: LevelLogOptions, opened: Opened) {
    this.directory = opened.directory;
    this.configStore = opened.configStore;
    this.#maxPendingBytes = options.maxPendingBytes ?? DEFAULT_PENDING_BYTES;
    this.#checkpoints = opened.checkpoints;
    this.#signals = new LogSignals(options.onError ?? throwOutside);
    this.#head = opened.head;
    this.#committed = opened.head;
    const { capacityUpdates = FOLLOWED_UPDATES, capacityBytes } = options;
    this.#tail = new UpdateRing(opened.head, { capacityUpdates, capacityBytes });
    this.#kept = Math.min(capacityUpdates, KEPT_UPDATES);
    this.#writer = new GroupWriter({
      directory: opened.directory,
      clock: options.clock ?? systemClock,
      sync: options.sync ?? true,
      committed: () => this.#committed,
      onCommit: (group) => this.#commit(group),
      onStatus: (status, cause) => this.#changeStatus(status, cause),
    });
  }

  /**
   * Opens the log of a data directory, or creates it. Reads only the end of the log.
   *
   * @throws {ContextCacheError} `DIRECTORY_LOCKED` if another process uses it, `FORMAT_UNSUPPORTED`, `LOG_CORRUPT`,
   *   `LOG_UNAVAILABLE` if the directory cannot be used.
   */
  static async open(options: LevelLogOptions): Promise<LevelLog> {
    const directory = await LevelDirectory.open(options.dataDir, options.openStorage ?? openClassicLevel);
    try {
      const head = await findHead(directory);
      const checkpoints = await Checkpoints.open(directory, head);
      const configStore = await LevelConfigStore.open(directory);
      return new LevelLog(options, { directory, configStore, checkpoints, head });
    } catch (error) {
      await directory.close();
      throw error;
    }
  }

  get id(): string {
    return this.directory.identity.id;
  }

  get status(): LogStatus {
    return this.#status;
  }

  get head(): number {
    return this.#head;
  }

  get committed(): number {
    return this.#committed;
  }

  get first(): number {
    return this.directory.identity.begin + 1;
  }

  append(updates: readonly PendingUpdate[]): void {
    this.#assertOpen();
    if (this.#status !== 'ready' || this.#beginning) throw unavailable(this.directory.path, this.#writer.degraded);
    if (this.#writer.queue.bytes > this.#maxPendingBytes) throw overloaded(this.#maxPendingBytes);
    if (updates.length === 0) return;
    for (const update of updates) {
      this.#head += 1;
      update.position = this.#head;
    }
    this.#writer.add(updates);
  }

  whenCommitted(position: number): Promise<void> | undefined {
    if (position <= this.#committed) return undefined;
    const group = this.#writer.queue.holding(position);
    if (group === undefined) throw notAppended(position, this.#head);
    return group.whenSettled();
  }

  async flush(): Promise<void> {
    await this.whenCommitted(this.#head);
  }

  onCommit(listener: (updates: readonly Update[]) => void): () => void {
    return this.#signals.commit.add(listener);
  }

  onStatus(listener: (status: LogStatus, cause?: Error) => void): () => void {
    return this.#signals.status.add(listener);
  }

  read(from: number, to = this.#committed): AsyncIterable<readonly Update[]> {
    this.#assertOpen();
    if (from < this.first) throw notHeld(from, this.first);
    return this.#walk(from, Math.min(to, this.#committed));
  }

  /**
   * Makes {@link LevelLog.recent} work for everything after the position that `trailed()` returns, which only
   * increases. Must be called before anything is appended.
   */
  async keepRecent(trailed: () => number): Promise<void> {
    this.#blocks = await BlockIndex.open(this.directory, trailed);
  }

  /**
   * Returns what was appended, committed or not, between two positions, both inclusive. `from` must be after the
   * position that {@link LevelLog.keepRecent} trails.
   */
  recent(from: number, to: number): Update[] {
    const updates = from < this.#tail.first ? (this.#blocks?.read(from, Math.min(to, this.#tail.first - 1)) ?? []) : [];
    const next = Math.max(from, this.#tail.first);
    if (next <= this.#committed) {
      for (const update of this.#tail.slice(next, Math.min(to, this.#committed), to - next + 1)) updates.push(update);
    }
    if (to > this.#committed) {
      for (const update of this.#writer.queue.updatesFrom(from)) if (update.position <= to) updates.push(update);
    }
    if (updates.length !== Math.max(0, to - from + 1)) throw notAtHand(from, to);
    return updates;
  }

  follower(name: string, start = 0): LogFollower {
    const known = this.#followers.get(name);
    if (known !== undefined) return known;
    const follower = new LevelFollower(name, this.#checkpoints.get(name) ?? start, this.first - 1, {
      checkpoints: this.#checkpoints,
      reader: new BlockReader(this.directory),
      head: () => this.#head,
      committed: () => this.#committed,
      assertOpen: () => this.#assertOpen(),
      slice: (from, limit, reader) => this.#slice(from, this.#committed, limit, reader),
      remove: () => this.#followers.delete(name),
    });
    this.#followers.set(name, follower);
    return follower;
  }

  checkpoints(): FollowerCheckpoint[] {
    const checkpoints = Array.from(this.#followers.values(), ({ name, checkpoint }) => ({
      name,
      checkpoint,
      registered: true,
    }));
    for (const [name, checkpoint] of this.#checkpoints.entries()) {
      if (!this.#followers.has(name)) checkpoints.push({ name, checkpoint, registered: false });
    }
    return checkpoints;
  }

  async forget(name: string): Promise<void> {
    this.#assertOpen();
    if (this.#followers.has(name)) throw isFollowed(name);
    if (this.#checkpoints.get(name) === undefined) throw noSuchCheckpoint(name);
    this.#checkpoints.delete(name);
    await this.#checkpoints.flush();
  }

  /** Releases whole blocks, including what an interrupted trim has left behind. */
  async trim(position: number, signal?: AbortSignal): Promise<void> {
    this.#assertOpen();
    let begin = await blockBegin(this.directory, this.#mayGo(position));
    // A follower may have registered meanwhile. From here until `first` is raised there is no further turn of the event
    // loop.
    while (begin > this.#mayGo(position)) begin = await blockBegin(this.directory, this.#mayGo(position));
    // Written with the checkpoints that permit it: these are otherwise written in the background, and a crash must not
    // leave older ones.
    await this.directory.raiseBegin(begin, this.#checkpoints.writes());
    await removeBlocks(this.directory, signal);
  }

  /** Returns the position up to which the log may be released. */
  #mayGo(position: number): number {
    const least = Math.min(position, this.#committed, ...this.checkpoints().map(({ checkpoint }) => checkpoint));
    return Math.max(least, this.directory.identity.begin);
  }

  async beginAfter(position: number): Promise<void> {
    this.#assertOpen();
    if (this.#head !== 0 || this.#beginning) throw notEmpty(this.#head);
    this.#beginning = true;
    try {
      await this.directory.beginAfter(position);
    } finally {
      this.#beginning = false;
    }
    this.#head = position;
    this.#committed = position;
    this.#checkpoints.committed = position;
    this.#tail.beginAfter(position);
    for (const follower of this.#followers.values()) follower.beginAfter(position);
  }

  /**
   * Writes what was appended and releases the directory. Also ends while the log is degraded, after one more attempt to
   * write.
   *
   * @throws {ContextCacheError} `OUTCOME_UNKNOWN` if updates could not be written.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#writer.close();
      await this.#checkpoints.flush();
    } finally {
      await this.directory.close();
      this.#changeStatus('closed');
    }
  }

  #commit(group: CommitGroup): void {
    for (const update of group.updates) {
      this.#tail.push(update);
      while (this.#tail.overfull) this.#tail.drop();
    }
    this.#committed = group.last;
    this.#forgetDelivered();
    this.#checkpoints.committed = group.last;
    this.#blocks?.add(group.blocks);
    group.commit();
    this.#signals.commit.emit(group.updates);
  }

  #forgetDelivered(): void {
    let end = this.#committed - this.#kept;
    if (this.#tail.first > end) return;
    for (const { checkpoint } of this.#followers.values()) end = Math.min(end, checkpoint);
    while (this.#tail.first <= end) this.#tail.drop();
  }

  #changeStatus(status: LogStatus, cause?: Error): void {
    this.#status = status;
    if (cause === undefined) this.#signals.status.emit(status);
    else this.#signals.status.emit(status, cause);
  }

  /**
   * Resolves with at most `limit` updates between `from` and `to`: from memory if they are there, otherwise from disk.
   */
  async #slice(from: number, to: number, limit: number, reader: BlockReader): Promise<readonly Update[]> {
    if (from < this.first) throw notHeld(from, this.first);
    if (from >= this.#tail.first) {
      reader.forget();
      return this.#tail.slice(from, to, limit);
    }
    try {
      return await reader.read(from, Math.min(limit, to - from + 1));
    } catch (error) {
      // Released while it was being read.
      throw from < this.first ? notHeld(from, this.first) : error;
    }
  }

  async *#walk(from: number, to: number): AsyncGenerator<readonly Update[]> {
    const reader = new BlockReader(this.directory);
    for (let next = from; next <= to; ) {
      const updates = await this.#slice(next, to, READ_GROUP, reader);
      yield updates;
      next += updates.length;
    }
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw closed();
  }
}
