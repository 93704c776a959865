import type { Update } from '../../core/update.ts';
import { wholeOperations } from '../../core/whole-operations.ts';
import { assertLimit, assertReached } from '../log-errors.ts';
import { Overflow } from '../overflow.ts';
import type { LogFollower, UpdateBatch } from '../update-log.ts';
import type { UpdateRing } from '../update-ring.ts';

/** The part of a memory log that a follower uses. */
export interface FollowedRing {
  readonly ring: UpdateRing;
  head(): number;
  committed(): number;
  assertOpen(): void;
  remove(): void;
}

/** A follower of a log in memory. Reads first what the ring has released, coalesced, then the ring. */
export class MemoryFollower implements LogFollower {
  readonly name: string;
  readonly tooLate: boolean;
  readonly #log: FollowedRing;
  readonly #overflow = new Overflow();
  #checkpoint: number;
  /** Everything up to this position may have reached the destination, delivered or not. */
  #given: number;

  /**
   * `start`: the position after which the follower asks to start. `begin`: the log has released everything up to here.
   */
  constructor(name: string, start: number, begin: number, log: FollowedRing) {
    const checkpoint = Math.max(start, begin);
    this.name = name;
    this.tooLate = start < begin;
    this.#checkpoint = checkpoint;
    this.#given = checkpoint;
    this.#log = log;
  }

  get checkpoint(): number {
    return this.#checkpoint;
  }

  /** Number of updates kept for this follower outside the ring. */
  get kept(): number {
    return this.#overflow.size;
  }

  async read(limit: number): Promise<UpdateBatch | undefined> {
    this.#log.assertOpen();
    assertLimit(limit);
    const committed = this.#log.committed();
    if (this.#checkpoint >= committed) return undefined;
    const { updates: kept, isAll: isEnd } = this.#overflow.give(limit);
    const more = isEnd ? this.#readRing(committed, limit - kept.length) : [];
    // An operation may have begun in the overflow and go on in the ring.
    const updates = wholeOperations(kept.length === 0 ? more : [...kept, ...more], committed);
    const isAllKept = isEnd && updates.length === kept.length;
    const through = isAllKept ? Math.max(this.#checkpoint, this.#log.ring.first - 1) : lastPosition(updates);
    this.#given = Math.max(this.#given, through);
    return { updates, through, skipped: through - this.#checkpoint - updates.length };
  }

  async save(position: number): Promise<void> {
    this.#log.assertOpen();
    assertReached(this.name, position, this.#log.head());
    if (position <= this.#checkpoint) return;
    // Delivered by another way than `read`, as a resync does.
    if (position > this.#given) this.expose(position);
    this.#checkpoint = position;
    this.#overflow.deliveredThrough(position);
  }

  expose(position: number): void {
    this.#given = Math.max(this.#given, position);
    this.#overflow.giveAll();
  }

  async remove(): Promise<void> {
    this.#log.remove();
  }

  /** Called by the log before the ring drops this update. */
  keep(update: Update): void {
    if (update.position > this.#checkpoint) this.#overflow.add(update, update.position <= this.#given);
  }

  /** Called by the log, which was empty until now. */
  beginAfter(position: number): void {
    this.#checkpoint = Math.max(this.#checkpoint, position);
    this.#given = Math.max(this.#given, position);
  }

  /** Returns at most `limit` updates that the ring holds. */
  #readRing(committed: number, limit: number): readonly Update[] {
    const { ring } = this.#log;
    const updates = ring.slice(Math.max(this.#checkpoint + 1, ring.first), committed, limit);
    // These updates may belong to a namespace that the overflow takes for unknown to the follower.
    if (updates.length > 0) this.#overflow.giveAll();
    return updates;
  }
}

function lastPosition(updates: readonly Update[]): number {
  return updates.at(-1)?.position ?? 0;
}
