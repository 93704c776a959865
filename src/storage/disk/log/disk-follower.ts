import type { Update } from '../../../core/update.ts';
import { wholeOperations } from '../../../core/whole-operations.ts';
import { assertLimit, assertReached, isFollowed, noSuchCheckpoint } from '../../log-errors.ts';
import type { FollowerCheckpoint, LogFollower, UpdateBatch } from '../../update-log.ts';
import type { LogReader } from './log-reader.ts';
import type { Notes } from './notes.ts';

/** The part of a log on disk that its followers use. */
export interface FollowedLog {
  readonly notes: Notes;
  head(): number;
  committed(): number;
  assertOpen(): void;
  /** Returns a reader of what is no longer in memory, for one follower. */
  reader(): LogReader;
  /** Resolves with at most `limit` committed updates from a position that is committed. */
  slice(from: number, limit: number, reader: LogReader): Promise<readonly Update[]>;
  /** Writes changed checkpoints with the next group. */
  writeCheckpoints(): void;
  /** Makes a change of the notes and writes it. */
  writeNotes(change: () => void): Promise<void>;
}

/** A follower of a log on disk. Receives every update. */
class DiskFollower implements LogFollower {
  readonly name: string;
  readonly tooLate: boolean;
  readonly #log: FollowedLog;
  readonly #reader: LogReader;
  readonly #remove: () => Promise<void>;
  #checkpoint: number;

  /** `start`: the position after which it asks to start, if it has no checkpoint. */
  constructor(name: string, start: number, log: FollowedLog, remove: () => Promise<void>) {
    // The log has released everything up to `begin`.
    const { begin, checkpoints } = log.notes;
    const from = checkpoints.get(name) ?? start;
    this.name = name;
    this.tooLate = from < begin;
    this.#checkpoint = Math.max(from, begin);
    this.#log = log;
    this.#reader = log.reader();
    this.#remove = remove;
  }

  get checkpoint(): number {
    return this.#checkpoint;
  }

  async read(limit: number): Promise<UpdateBatch | undefined> {
    this.#log.assertOpen();
    assertLimit(limit);
    const committed = this.#log.committed();
    if (this.#checkpoint >= committed) return undefined;
    const read = await this.#log.slice(this.#checkpoint + 1, limit, this.#reader);
    const updates = wholeOperations(read, committed);
    return { updates, through: updates.at(-1)?.position ?? this.#checkpoint, skipped: 0 };
  }

  async save(position: number): Promise<void> {
    this.#log.assertOpen();
    assertReached(this.name, position, this.#log.head());
    this.advance(position);
  }

  /** Does nothing: updates are not coalesced here, so it does not matter what the destination has seen. */
  expose(): void {}

  remove(): Promise<void> {
    return this.#remove();
  }

  /** Moves the checkpoint, unless it is there already, and stores it with the next write. */
  advance(position: number): void {
    if (position <= this.#checkpoint) return;
    this.#checkpoint = position;
    this.#log.notes.setCheckpoint(this.name, position);
    this.#log.writeCheckpoints();
  }
}

/** The followers of a log on disk, and the checkpoints of those that are not running. */
export class DiskFollowers {
  readonly #log: FollowedLog;
  readonly #running = new Map<string, DiskFollower>();

  constructor(log: FollowedLog) {
    this.#log = log;
  }

  /** See `UpdateLog.follower`. */
  follower(name: string, start: number): LogFollower {
    const known = this.#running.get(name);
    if (known !== undefined) return known;
    const follower = new DiskFollower(name, start, this.#log, () => {
      this.#running.delete(name);
      return this.#discard(name);
    });
    this.#running.set(name, follower);
    return follower;
  }

  /** See `UpdateLog.checkpoints`. */
  checkpoints(): FollowerCheckpoint[] {
    const checkpoints = Array.from(this.#running.values(), ({ name, checkpoint }) => ({
      name,
      checkpoint,
      registered: true,
    }));
    for (const [name, checkpoint] of this.#log.notes.checkpoints) {
      if (!this.#running.has(name)) checkpoints.push({ name, checkpoint, registered: false });
    }
    return checkpoints;
  }

  /** See `UpdateLog.forget`. */
  async forget(name: string): Promise<void> {
    if (this.#running.has(name)) throw isFollowed(name);
    if (!this.#log.notes.checkpoints.has(name)) throw noSuchCheckpoint(name);
    await this.#discard(name);
  }

  /** The least checkpoint of those that are running; `Infinity` if none is. */
  get slowest(): number {
    let slowest = Number.POSITIVE_INFINITY;
    for (const { checkpoint } of this.#running.values()) slowest = Math.min(slowest, checkpoint);
    return slowest;
  }

  /** Called by the log, which was empty until now. */
  beginAfter(position: number): void {
    for (const follower of this.#running.values()) follower.advance(position);
  }

  #discard(name: string): Promise<void> {
    return this.#log.writeNotes(() => this.#log.notes.setCheckpoint(name, undefined));
  }
}
