import type { Update } from '../../../core/update.ts';
import { assertLimit, assertReached, isFollowed, noSuchCheckpoint } from '../../log-errors.ts';
import type { FollowerCheckpoint, LogFollower, UpdateBatch } from '../../update-log.ts';
import type { LogReader } from './log-reader.ts';
import type { Notes } from './notes.ts';

/** The part of a log on disk that a follower uses. */
export interface FollowedLog {
  /** Reads what is no longer in memory; belongs to this follower. */
  readonly reader: LogReader;
  head(): number;
  committed(): number;
  assertOpen(): void;
  /** Resolves with at most `limit` committed updates from a position that is committed. */
  slice(from: number, limit: number, reader: LogReader): Promise<readonly Update[]>;
  /** Stores a checkpoint with the next write. */
  save(name: string, checkpoint: number): void;
  /** Unregisters the follower and discards its checkpoint. */
  remove(name: string): Promise<void>;
}

/** A follower of a log on disk. Receives every update. */
export class DiskFollower implements LogFollower {
  readonly name: string;
  readonly tooLate: boolean;
  readonly #log: FollowedLog;
  #checkpoint: number;

  /**
   * `start`: the checkpoint, or the position after which it asks to start. `begin`: the log has released everything up
   * to here.
   */
  constructor(name: string, start: number, begin: number, log: FollowedLog) {
    this.name = name;
    this.tooLate = start < begin;
    this.#checkpoint = Math.max(start, begin);
    this.#log = log;
  }

  get checkpoint(): number {
    return this.#checkpoint;
  }

  async read(limit: number): Promise<UpdateBatch | undefined> {
    this.#log.assertOpen();
    assertLimit(limit);
    if (this.#checkpoint >= this.#log.committed()) return undefined;
    const updates = await this.#log.slice(this.#checkpoint + 1, limit, this.#log.reader);
    return { updates, through: updates.at(-1)?.position ?? this.#checkpoint, skipped: 0 };
  }

  async save(position: number): Promise<void> {
    this.#log.assertOpen();
    assertReached(this.name, position, this.#log.head());
    if (position <= this.#checkpoint) return;
    this.#checkpoint = position;
    this.#log.save(this.name, position);
  }

  /** Does nothing: updates are not coalesced here, so it does not matter what the destination has seen. */
  expose(): void {}

  remove(): Promise<void> {
    return this.#log.remove(this.name);
  }

  /** Called by the log, which was empty until now. */
  beginAfter(position: number): void {
    if (position <= this.#checkpoint) return;
    this.#checkpoint = position;
    this.#log.save(this.name, position);
  }
}

/** The part of a log on disk that its followers use. */
export interface FollowersLog extends Pick<FollowedLog, 'head' | 'committed' | 'assertOpen' | 'slice'> {
  readonly notes: Notes;
  reader(): LogReader;
  /** Writes changed checkpoints with the next group. */
  writeCheckpoints(): void;
  /** Makes a change of the notes and writes it. */
  writeNotes(change: () => void): Promise<void>;
}

/** The followers of a log on disk, and the checkpoints of those that are not running. */
export class DiskFollowers {
  readonly #log: FollowersLog;
  readonly #running = new Map<string, DiskFollower>();

  constructor(log: FollowersLog) {
    this.#log = log;
  }

  /** See `UpdateLog.follower`. */
  follower(name: string, start: number): DiskFollower {
    const known = this.#running.get(name);
    if (known !== undefined) return known;
    const { notes, head, committed, assertOpen, reader, slice, writeCheckpoints } = this.#log;
    const follower = new DiskFollower(name, notes.checkpoints.get(name) ?? start, notes.begin, {
      ...{ reader: reader(), head, committed, assertOpen, slice },
      save: (own, checkpoint) => {
        notes.setCheckpoint(own, checkpoint);
        writeCheckpoints();
      },
      remove: (own) => {
        this.#running.delete(own);
        return this.#discard(own);
      },
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
    for (const follower of this.#running.values()) follower.beginAfter(position);
  }

  #discard(name: string): Promise<void> {
    return this.#log.writeNotes(() => this.#log.notes.setCheckpoint(name, undefined));
  }
}
