import { resolve } from 'node:path';
import { systemClock } from '../../../core/clock.ts';
import type { OperationWindow } from '../../../core/operations.ts';
import type { Remembered } from '../../../core/remembered.ts';
import type { PendingUpdate, Update } from '../../../core/update.ts';
import type { ConfigStore } from '../../config-store.ts';
import { closed, notAppended, notAtHand, notEmpty, notHeld, overloaded, unavailable } from '../../log-errors.ts';
import { LogSignals, throwOutside } from '../../log-signals.ts';
import type { FollowerCheckpoint, LogFollower, LogStatus, UpdateLog } from '../../update-log.ts';
import { UpdateRing } from '../../update-ring.ts';
import { FileHolds } from '../file-holds.ts';
import { type Files, nodeFiles } from '../files.ts';
import type { CommitGroup } from './commit-group.ts';
import { DiskFollowers } from './disk-follower.ts';
import type { DiskLogOptions } from './disk-log-options.ts';
import type { LogFileNames } from './file-log.ts';
import { GroupWriter } from './group-writer.ts';
import { LogReader } from './log-reader.ts';
import type { UpdateLocation } from './logged-update.ts';
import { LogSettings, type Notes } from './notes.ts';
import { type OpenedLog, openLog } from './open-log.ts';
import { exchangeSegment, isReleasable, releaseSegments } from './release.ts';

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
 */
export class DiskLog implements UpdateLog {
  readonly durable = true;
  /** Absolute path of the data directory. */
  readonly dataDir: string;
  /** Topics, backup settings and the like. */
  readonly configStore: ConfigStore;
  /** The readers of its files. */
  readonly holds = new FileHolds();
  /** Returns a reader of the files, also of what is before `first`. */
  readonly reader: () => LogReader;
  readonly noteWith: GroupWriter['note'];
  readonly remembered: UpdateLog['remembered'];
  readonly #opened: OpenedLog;
  readonly #notes: Notes;
  readonly #maxPendingBytes: number;
  readonly #signals: LogSignals;
  readonly #writer: GroupWriter;
  /** The latest committed updates. */
  readonly #tail: UpdateRing;
  /** Number of updates that stay in the tail even if every follower has received them. */
  readonly #kept: number;
  readonly #followers: DiskFollowers;
  #status: LogStatus = 'ready';
  #head: number;
  #committed: number;
  #base: number;
  readonly #sync: boolean;
  #beginning = false;
  #beforeRelease: () => Promise<void> = async () => {};
  #closing: Promise<void> | undefined;

  private constructor(options: DiskLogOptions, opened: OpenedLog) {
    this.dataDir = opened.dataDir;
    this.reader = () => new LogReader(opened.segments);
    this.#opened = opened;
    this.#notes = opened.notes;
    this.#base = opened.base;
    this.#sync = options.sync ?? true;
    this.#maxPendingBytes = options.maxPendingBytes ?? DEFAULT_PENDING_BYTES;
    this.#signals = new LogSignals(options.onError ?? throwOutside);
    this.#head = opened.head;
    this.#committed = opened.head;
    const { capacityUpdates = FOLLOWED_UPDATES, capacityBytes } = options;
    this.#tail = new UpdateRing(opened.head, { capacityUpdates, capacityBytes });
    this.#kept = Math.min(capacityUpdates, KEPT_UPDATES);
    this.#writer = new GroupWriter({
      segments: opened.writer,
      notes: opened.notes,
      path: opened.dataDir,
      clock: options.clock ?? systemClock,
      committed: () => this.#committed,
      onCommit: (group) => this.#commit(group),
      onStatus: (status, cause) => this.#changeStatus(status, cause),
    });
    this.remembered = (until) => opened.notes.remembered(until);
    this.noteWith = (settings) => this.#writer.note(settings);
    this.#followers = new DiskFollowers({
      notes: opened.notes,
      head: () => this.#head,
      committed: () => this.#committed,
      assertOpen: () => this.#assertOpen(),
      reader: this.reader,
      slice: (from, limit, reader) => this.#slice(from, this.#committed, limit, reader),
      writeCheckpoints: () => this.#writer.writeCheckpoints(),
      writeNotes: (change) => this.#writeNotes(change),
    });
    this.configStore = new LogSettings(opened.notes, (change) => this.#writeNotes(change));
  }

  /**
   * Opens the log of a data directory, or creates it. Reads only the last of its files.
   *
   * @throws {ContextCacheError} `DIRECTORY_LOCKED` if another process uses it, `FORMAT_UNSUPPORTED`, `LOG_CORRUPT`,
   *   `LOG_UNAVAILABLE` if the directory cannot be used.
   */
  static async open(options: DiskLogOptions): Promise<DiskLog> {
    const { dataDir, files = nodeFiles, sync = true, id } = options;
    return new DiskLog(options, await openLog(files, resolve(dataDir), sync, id));
  }

  get id(): string {
    return this.#notes.id;
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
    return this.#notes.begin + 1;
  }

  get operations(): OperationWindow {
    return this.#notes.operations;
  }

  get floor(): number {
    return this.#notes.appendedFloor;
  }

  get files(): Files {
    return this.#opened.files;
  }

  /** Folder of the log, the base and the index. */
  get path(): string {
    return this.#opened.path;
  }

  /** The log's files at present, for a reader of its own, which may continue at `from`. */
  names(from = this.#base + 1): LogFileNames {
    if (this.#status === 'closed') throw closed();
    const { segments } = this.#opened;
    // A reader must not remember frames behind the last committed update: recovery may replace their file by one of the same name.
    const mark = segments.markBefore(Math.min(from, this.#committed));
    return { base: this.#base, firsts: segments.firsts, mark, exchanged: segments.exchanged };
  }

  /** Returns the checksum of the update at a position, which is committed. */
  checksumAt(position: number): number | undefined {
    return this.#opened.segments.readLocated(position, position)[0]?.checksum;
  }

  append(updates: readonly PendingUpdate[]): void {
    this.#assertOpen();
    if (this.#status !== 'ready' || this.#beginning) throw unavailable(this.dataDir, this.#writer.degraded);
    const { queue } = this.#writer;
    if (queue.bytes > this.#maxPendingBytes && !queue.isHeld) throw overloaded(this.#maxPendingBytes);
    if (updates.length === 0) return;
    for (const update of updates) {
      this.#head += 1;
      update.position = this.#head;
      this.#notes.append(update);
    }
    this.#writer.add(updates);
  }

  together(run: () => void): void {
    this.append([]);
    this.#writer.queue.hold(run);
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
   * Returns what was appended, committed or not, between two positions, both inclusive; also from before `first` as long as
   * the files hold it.
   */
  recent(from: number, to: number): Update[] {
    if (this.#status === 'closed') throw closed();
    const old = Math.min(to, this.#tail.first - 1, this.#committed);
    const updates = from <= old ? this.#opened.segments.readAll(from, old) : [];
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

  /** Reads an update by its location in the files. */
  updateAt(position: number, location: UpdateLocation): Update {
    return this.#opened.segments.updateAt(position, location);
  }

  follower(name: string, start = 0): LogFollower {
    return this.#followers.follower(name, start);
  }

  checkpoints(): FollowerCheckpoint[] {
    return this.#followers.checkpoints();
  }

  async forget(name: string): Promise<void> {
    this.#assertOpen();
    await this.#followers.forget(name);
  }

  async #writeNotes(change: () => void): Promise<void> {
    this.#assertOpen();
    await this.#writer.writeNotes(change);
  }

  /** Raises the start. The files stay until {@link DiskLog.release}. */
  async trim(position: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await this.#writeNotes(() => {
      const kept = this.checkpoints().map(({ checkpoint }) => checkpoint);
      // The note holds the checkpoints that permit it, too: a crash must not leave older ones.
      for (const name of this.#notes.checkpoints.keys()) this.#notes.touchCheckpoint(name);
      this.#notes.raiseBegin(Math.min(position, this.#committed, ...kept));
    });
  }

  /** Registers the only task that {@link DiskLog.close} awaits before it releases the directory. It must not reject. */
  onRelease(task: () => Promise<void>): void {
    this.#beforeRelease = task;
  }

  /**
   * Resolves when the disk has everything that is committed, also if the log does not wait for the disk.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE`. Then it rejects until the log is reopened, because the disk may lack bytes.
   */
  async sync(): Promise<void> {
    if (!this.#sync) await this.#writer.flush();
  }

  /** Resolves with whether removing the files up to a position would free enough to pay for writing a base file. */
  releasable(position: number): Promise<boolean> {
    return isReleasable(this.#opened, this.#base, position);
  }

  /**
   * Removes the files of the log that only hold updates up to `position`, whose base file has been written. `wholly`: also
   * the part of a file.
   */
  async release(position: number, wholly: boolean): Promise<void> {
    this.#assertOpen();
    this.#base = Math.max(this.#base, position);
    if (wholly && (this.#opened.segments.last?.first ?? position + 1) <= position) await this.#writer.roll();
    await releaseSegments(this.#opened, position, wholly);
  }

  /** Puts the compressed form of a file, which lies beside it, in its place. */
  exchange(first: number): Promise<void> {
    return exchangeSegment(this.#opened, first);
  }

  /** Throws `NOT_EMPTY` if there are updates in the log. */
  assertEmpty(): void {
    this.#assertOpen();
    if (this.#head !== 0 || this.#beginning) throw notEmpty(this.#head);
  }

  /** Makes an empty log start after a position, whose base file has been written. */
  async beginAfter(position: number, remembered: Remembered = {}): Promise<void> {
    this.assertEmpty();
    this.#beginning = true;
    this.#head = position;
    this.#committed = position;
    this.#base = position;
    this.#notes.raiseBegin(position);
    this.#notes.restore(remembered);
    this.#tail.beginAfter(position);
    try {
      await this.#writer.roll();
      await releaseSegments(this.#opened, position, false);
    } finally {
      this.#beginning = false;
    }
    this.#followers.beginAfter(position);
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
    } finally {
      await this.#beforeRelease();
      // With `sync` everything is on disk by now; without it, a file whose sync failed has made the log degraded.
      await this.#opened.close().catch(() => undefined);
      this.#changeStatus('closed');
    }
  }

  #commit(group: CommitGroup): void {
    for (const update of group.updates) {
      this.#notes.commit(update);
      this.#tail.push(update);
      while (this.#tail.overfull) this.#tail.drop();
    }
    this.#committed = group.last;
    const end = group.last - this.#kept;
    if (this.#tail.first <= end) {
      const delivered = Math.min(end, this.#followers.slowest);
      while (this.#tail.first <= delivered) this.#tail.drop();
    }
    group.commit();
    this.#signals.commit.emit(group.updates);
  }

  #changeStatus(status: LogStatus, cause?: Error): void {
    this.#status = status;
    this.#signals.status.emit(status, ...(cause === undefined ? [] : [cause]));
  }

  /**
   * Resolves with at most `limit` updates between `from` and `to`: from memory if they are there, otherwise from disk.
   */
  async #slice(from: number, to: number, limit: number, reader: LogReader): Promise<readonly Update[]> {
    if (from < this.first) throw notHeld(from, this.first);
    if (from >= this.#tail.first) {
      reader.forget();
      return this.#tail.slice(from, to, limit);
    }
    try {
      return reader.read(from, to, limit);
    } catch (error) {
      // Released while it was being read.
      throw from < this.first ? notHeld(from, this.first) : error;
    }
  }

  async *#walk(from: number, to: number): AsyncGenerator<readonly Update[]> {
    const reader = this.reader();
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
