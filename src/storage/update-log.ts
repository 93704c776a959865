import type { OperationWindow } from '../core/operations.ts';
import type { Remembered } from '../core/remembered.ts';
import type { PendingUpdate, Update } from '../core/update.ts';

/** A batch of updates for one follower, in log order. */
export interface UpdateBatch {
  /** Updates in ascending order of position. A gap between two positions is counted in `skipped`. */
  readonly updates: readonly Update[];
  /**
   * The position that the follower has reached once these updates are delivered. Equal to or greater than the position
   * of the last update.
   */
  readonly through: number;
  /**
   * Number of updates left out because a later update of the same key, or a clear, replaced them before a bounded log
   * released them.
   */
  readonly skipped: number;
}

/**
 * A follower's reader of the log. The log keeps what a registered follower has not received yet; a bounded log keeps at
 * least the last update of every key for it.
 */
export interface LogFollower {
  readonly name: string;
  /** Everything up to this position has been delivered. */
  readonly checkpoint: number;
  /**
   * `true` if the log had already released updates after the requested `start` when this follower registered. A
   * follower that can copy the whole state then does so; any other starts at the oldest update that the log still
   * holds.
   */
  readonly tooLate: boolean;
  /**
   * Resolves with the next committed updates after the last saved checkpoint, from 1 to `limit` of them; with
   * `undefined` if there is nothing beyond the checkpoint. Reading again without a `save` returns the same updates
   * again.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` if `limit` is less than 1, `CLOSED`.
   */
  read(limit: number): Promise<UpdateBatch | undefined>;
  /**
   * Saves the checkpoint: everything up to `position` has been delivered. A durable log stores it. Ignores a position
   * that is not beyond the present checkpoint.
   *
   * @throws {ContextCacheError} `INVARIANT` if `position` is beyond the head, `CLOSED`.
   */
  save(position: number): Promise<void>;
  /**
   * Announces that everything up to `position` may reach the destination by another way than `read`, because a resync
   * copies the state there. Must be called when the capture is made and before anything else is appended. Otherwise a
   * bounded log could take a key that is added and removed in the meantime for one that the destination has never seen,
   * and leave out its removal.
   */
  expose(position: number): void;
  /** Unregisters the follower and discards its checkpoint. The log keeps nothing for it any longer. */
  remove(): Promise<void>;
}

/** The checkpoint of one follower. */
export interface FollowerCheckpoint {
  readonly name: string;
  readonly checkpoint: number;
  /** `true` if the follower is registered now, `false` if only its checkpoint is stored in a durable log. */
  readonly registered: boolean;
}

/**
 * Status of a log. `ready`: accepts updates. `degraded`: the storage has failed; reads continue, appends are refused
 * until it recovers. `closed`: for good.
 */
export type LogStatus = 'ready' | 'degraded' | 'closed';

/**
 * The log: the ordered record of all updates. `append` is synchronous and assigns positions; durability follows later.
 * Followers and `onCommit` receive an update only once it is committed, so that no crash can revoke it. A log in memory
 * commits within the same turn of the event loop.
 */
export interface UpdateLog {
  /** Identifies the log, so that its positions are not confused with those of another one. Assigned at creation. */
  readonly id: string;
  /** `true` if the log survives the process. */
  readonly durable: boolean;
  readonly status: LogStatus;
  /** Position of the last appended update; 0 for an empty log. */
  readonly head: number;
  /** Position of the last committed update; 0 for an empty log. */
  readonly committed: number;
  /** Oldest position that can still be read; `head + 1` for an empty log. */
  readonly first: number;
  /** The latest appended operations with an id, also of updates that the log no longer holds. */
  readonly operations: OperationWindow;
  /** The highest version that a namespace had which an appended update dropped; 0: none was dropped. A new namespace begins above it. */
  readonly floor: number;

  /**
   * Appends updates as one unit and sets their positions. After a crash either all of them are in the log or none.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE` if the storage has failed, `OVERLOADED` if too many bytes wait to be
   *   written, `CLOSED`. Nothing has been appended in any of these cases.
   */
  append(updates: readonly PendingUpdate[]): void;

  /**
   * Runs something that appends several times, in this turn. After a crash either all of it is in the log or nothing, and
   * `onCommit` hears of all of it at once. Each `append` after the first accepts what the first one would have.
   */
  together(run: () => void): void;

  /**
   * Resolves when everything up to `position` is committed. Returns `undefined` if it is committed already. Rejects
   * with `OUTCOME_UNKNOWN` if the storage fails while writing it.
   *
   * @throws {ContextCacheError} `INVARIANT` if `position` is beyond the head.
   */
  whenCommitted(position: number): Promise<void> | undefined;

  /** Resolves when everything appended so far is committed. */
  flush(): Promise<void>;

  /** Calls the listener with each group of updates once it is committed, in order. Returns a function that stops it. */
  onCommit(listener: (updates: readonly Update[]) => void): () => void;

  /** Calls the listener when `status` changes, with the cause of a failure. Returns a function that stops it. */
  onStatus(listener: (status: LogStatus, cause?: Error) => void): () => void;

  /**
   * Reads committed updates from position `from` to `to`, both inclusive, oldest first, in groups of a convenient size.
   * `to` defaults to the last position that is committed when `read` is called.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` if `from` is before `first`, `CLOSED`.
   */
  read(from: number, to?: number): AsyncIterable<readonly Update[]>;

  /**
   * Registers a follower. Continues at the stored checkpoint if the log has one under this name, and otherwise after
   * position `start` (default 0: everything that the log holds). Names are unique while registered.
   */
  follower(name: string, start?: number): LogFollower;

  /** Lists the checkpoints of all registered followers, and those that unregistered ones have left in the log. */
  checkpoints(): readonly FollowerCheckpoint[];

  /**
   * Discards the stored checkpoint of a follower that is not registered. The log keeps nothing for it any longer.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` if the follower is registered, `NOT_FOUND` if it has no checkpoint.
   */
  forget(name: string): Promise<void>;

  /**
   * Releases the updates up to about `position`; some may be kept, because storage is released in blocks. A durable log
   * keeps what any follower listed by {@link UpdateLog.checkpoints} has not received yet; a log in memory keeps the
   * last update of every key for it. `first` reflects the result as soon as `trim` has been called.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE` or `OUTCOME_UNKNOWN` if the storage has failed: the next call removes
   *   what is left; `CLOSED`; or the signal's reason.
   */
  trim(position: number, signal?: AbortSignal): Promise<void>;

  /** Returns what is remembered up to a position, to be stored. The floor may include later drops. */
  remembered(until: number): Remembered;

  /**
   * Makes an empty log start after `position`, which restoring a snapshot needs, with what was remembered there.
   *
   * @throws {ContextCacheError} `NOT_EMPTY` if `head` is not 0.
   */
  beginAfter(position: number, remembered?: Remembered): Promise<void>;

  /** Commits what was appended, then releases the storage. A second call does nothing. */
  close(): Promise<void>;
}

/**
 * Resolves with the update at a position once it is committed; `undefined` if the log no longer holds it.
 *
 * @throws {ContextCacheError} `INVARIANT` if it is beyond the head.
 */
export async function readUpdate(log: UpdateLog, position: number): Promise<Update | undefined> {
  await log.whenCommitted(position);
  try {
    if (position >= log.first) for await (const [update] of log.read(position, position)) return update;
  } catch (error) {
    // Retention may discard it while it is being read.
    if (position >= log.first) throw error;
  }
  return undefined;
}
