import type { Update } from '../../../core/update.ts';
import { assertLimit, assertReached } from '../../log-errors.ts';
import type { LogFollower, UpdateBatch } from '../../update-log.ts';
import type { BlockReader } from './block-reader.ts';
import type { Checkpoints } from './checkpoints.ts';

/** The part of a log on disk that a follower uses. */
export interface FollowedLog {
  readonly checkpoints: Checkpoints;
  /** Reads what is no longer in memory; belongs to this follower. */
  readonly reader: BlockReader;
  head(): number;
  committed(): number;
  assertOpen(): void;
  /** Resolves with at most `limit` committed updates from a position that is committed. */
  slice(from: number, limit: number, reader: BlockReader): Promise<readonly Update[]>;
  remove(): void;
}

/** A follower of a log on disk. Receives every update. */
export class LevelFollower implements LogFollower {
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
    this.#log.checkpoints.set(this.name, position);
  }

  /** Does nothing: updates are not coalesced here, so it does not matter what the destination has seen. */
  expose(): void {}

  async remove(): Promise<void> {
    this.#log.remove();
    this.#log.checkpoints.delete(this.name);
    await this.#log.checkpoints.flush();
  }

  /** Called by the log, which was empty until now. */
  beginAfter(position: number): void {
    if (position <= this.#checkpoint) return;
    this.#checkpoint = position;
    this.#log.checkpoints.set(this.name, position);
  }
}
