import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../../core/clock.ts';
import { ContextCacheError, toError } from '../../../core/errors.ts';
import type { Update } from '../../../core/update.ts';
import { weigh } from '../../update-ring.ts';
import type { LevelDirectory } from '../leveldb/level-directory.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { blockPosition, encodeBlocks } from '../records/block-codec.ts';
import { lastPosition } from './block-reader.ts';
import { RetryLoop } from './retry-loop.ts';

/** Updates that are committed together, and the promise of those that wait for it. */
export class CommitGroup {
  readonly updates: Update[] = [];
  /** Estimated bytes of the updates. */
  bytes = 0;
  /** First positions of its blocks, set when it is written. */
  blocks: readonly number[] = [];
  /** `true` once it is being written: it then accepts no more updates. */
  sealed = false;
  #outcome: 'open' | 'committed' | Error = 'open';
  #settled: Promise<void> | undefined;
  #resolve: (() => void) | undefined;
  #reject: ((error: Error) => void) | undefined;

  /** Position of the last update; 0 for an empty group. */
  get last(): number {
    return this.updates.at(-1)?.position ?? 0;
  }

  add(update: Update): void {
    this.updates.push(update);
    this.bytes += weigh(update);
  }

  /** Returns a promise that settles with the group; all waiters share it. Its rejection may stay unhandled. */
  whenSettled(): Promise<void> {
    if (this.#settled === undefined) {
      const outcome = this.#outcome;
      this.#settled = new Promise((resolve, reject) => {
        if (outcome === 'committed') resolve();
        else if (outcome !== 'open') reject(outcome);
        this.#resolve = resolve;
        this.#reject = reject;
      });
      // The failure also reaches `onStatus`. A writer that does not wait must not crash the process.
      this.#settled.catch(() => undefined);
    }
    return this.#settled;
  }

  commit(): void {
    if (this.#outcome === 'open') this.#outcome = 'committed';
    this.#resolve?.();
  }

  /** Rejects present and later waiters: the outcome of the group is not known. */
  fail(error: Error): void {
    if (this.#outcome === 'open') this.#outcome = error;
    this.#reject?.(error);
  }
}

/**
 * A group larger than this accepts no more updates, so that no single write blocks the event loop or the disk for long.
 */
const LARGE_GROUP_BYTES = 16 * 1024 * 1024;

/** The groups that wait to be committed, oldest first. Updates appended as one unit are always in the same group. */
export class GroupQueue {
  readonly #groups: CommitGroup[] = [];
  #bytes = 0;

  /** Estimated bytes of all waiting updates. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Number of waiting updates. */
  get count(): number {
    return this.#groups.reduce((sum, group) => sum + group.updates.length, 0);
  }

  /** The group to be committed next. */
  get first(): CommitGroup | undefined {
    return this.#groups[0];
  }

  add(updates: readonly Update[]): void {
    let group = this.#groups.at(-1);
    if (group === undefined || group.sealed || group.bytes > LARGE_GROUP_BYTES) {
      group = new CommitGroup();
      this.#groups.push(group);
    }
    const before = group.bytes;
    for (const update of updates) group.add(update);
    this.#bytes += group.bytes - before;
  }

  /** Removes the first group. */
  shift(): void {
    this.#bytes -= this.#groups.shift()?.bytes ?? 0;
  }

  /** Iterates over the waiting updates from a position on. */
  *updatesFrom(position: number): Generator<Update> {
    for (const { last, updates } of this.#groups) {
      if (last >= position) for (const update of updates) if (update.position >= position) yield update;
    }
  }

  /** Returns the group that holds the position. */
  holding(position: number): CommitGroup | undefined {
    return this.#groups.find((group) => position <= group.last);
  }

  fail(error: Error): void {
    for (const group of this.#groups) group.fail(error);
  }
}

/** Dependencies and callbacks of a {@link GroupWriter}. */
export interface GroupWriterOptions {
  readonly directory: LevelDirectory;
  readonly clock: Clock;
  readonly sync: boolean;
  committed(): number;
  onCommit(group: CommitGroup): void;
  onStatus(status: 'ready' | 'degraded', cause?: Error): void;
}

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;

/**
 * Writes groups of updates to the log on disk, one at a time and in order, and recovers the storage after a failure.
 *
 * Invariant: a group leaves the queue only when it is committed. After a failure the first group is therefore the one
 * whose outcome is not known, and the queue is all that can be missing on disk.
 */
export class GroupWriter {
  readonly queue = new GroupQueue();
  readonly #options: GroupWriterOptions;
  #degraded: Error | undefined;
  #writing: Promise<void> | undefined;
  #recovery: RetryLoop | undefined;
  #closing = false;

  constructor(options: GroupWriterOptions) {
    this.#options = options;
    options.directory.onBroken.add((cause) => this.#degrade(cause));
  }

  /** The reason why nothing can be written at present; `undefined` if writing works. */
  get degraded(): Error | undefined {
    return this.#degraded;
  }

  /** Adds updates as one unit. */
  add(updates: readonly Update[]): void {
    this.queue.add(updates);
    this.#writing ??= this.#writeAll();
  }

  /**
   * Writes what is left, with one more attempt if the storage has failed.
   *
   * @throws {ContextCacheError} `OUTCOME_UNKNOWN` if that fails.
   */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#writing;
    await this.#recovery?.stop();
    if (this.#degraded === undefined || this.queue.count === 0) return;
    try {
      await this.#recover();
    } catch (thrown) {
      const cause = toError(thrown);
      const lost = `${this.queue.count} updates could not be written to ${this.#options.directory.path}`;
      throw new ContextCacheError('OUTCOME_UNKNOWN', `${lost}: ${cause.message}`, { cause });
    }
  }

  async #writeAll(): Promise<void> {
    try {
      // Waits one turn before each write, so that everything that waited for the last write is in the next one.
      for (await nextTurn(); this.queue.first !== undefined && this.#degraded === undefined; await nextTurn()) {
        await this.#write(this.queue.first);
      }
    } catch (thrown) {
      // Does nothing if the storage itself failed: the directory then knows already.
      this.#options.directory.fail(toError(thrown));
    } finally {
      this.#writing = undefined;
    }
  }

  async #write(group: CommitGroup): Promise<void> {
    group.sealed = true;
    const writes: StorageWrite[] = [];
    const blocks: number[] = [];
    for (const block of encodeBlocks(group.updates)) {
      if (writes.length > 0) await nextTurn();
      writes.push({ type: 'put', key: block.key, value: block.bytes });
      blocks.push(blockPosition(block.key));
    }
    group.blocks = blocks;
    await this.#options.directory.write(writes, this.#options.sync);
    this.#commit(group);
  }

  #commit(group: CommitGroup): void {
    this.queue.shift();
    this.#options.onCommit(group);
  }

  #degrade(cause: Error): void {
    if (this.#degraded !== undefined) return;
    this.#degraded = cause;
    this.queue.fail(
      new ContextCacheError(
        'OUTCOME_UNKNOWN',
        `The log failed while writing this update (${cause.message}). It is visible in memory and is written as ` +
          'soon as the storage works again; a crash before that loses it.',
        { cause },
      ),
    );
    this.#options.onStatus('degraded', cause);
    if (this.#closing) return;
    this.#recovery = new RetryLoop({
      clock: this.#options.clock,
      attempt: () => this.#recover(),
      onFailure: (again) => this.#failAgain(again),
      firstDelayMs: FIRST_RETRY_MS,
      longestDelayMs: LONGEST_RETRY_MS,
    });
    this.#recovery.start();
  }

  /** Reports a failure whose reason differs from the last one. */
  #failAgain(cause: Error): void {
    if (this.#degraded?.message === cause.message) return;
    this.#degraded = cause;
    this.#options.onStatus('degraded', cause);
  }

  async #recover(): Promise<void> {
    // The write loop ends by itself: its write has failed, or it sees `degraded`.
    await this.#writing;
    await this.#options.directory.reopen();
    await this.#settleDoubt();
    while (this.queue.first !== undefined) await this.#write(this.queue.first);
    // A write of another user of the directory may have failed on the new handle meanwhile.
    if (this.#options.directory.broken !== undefined) throw this.#options.directory.broken;
    this.#degraded = undefined;
    this.#recovery = undefined;
    this.#options.onStatus('ready');
  }

  /** Commits the first group if it is on disk after all. A batch is stored as a whole or not at all. */
  async #settleDoubt(): Promise<void> {
    const { directory } = this.#options;
    const doubted = this.queue.first;
    const committed = this.#options.committed();
    // A log that was trimmed to its end may have no block.
    const last = Math.max((await lastPosition(directory)) ?? 0, directory.identity.begin);
    if (last === committed) return;
    if (doubted === undefined || doubted.last !== last) {
      throw corrupt(`The log in ${directory.path} ends at position ${last} although ${committed} was committed`);
    }
    this.#commit(doubted);
  }
}
