import type { PendingUpdate, Update } from '../core/update.ts';

/** Some updates for a follower, in log order. */
export interface UpdateBatch {
  /** Ascending positions. Gaps only where `skipped` says so. */
  readonly updates: readonly Update[];
  /** The place in the log that is reached once these are delivered. Not before the last update's position. */
  readonly through: number;
  /** Updates that later ones of the same key (or a clear) made superfluous and that a bounded log has let go. */
  readonly skipped: number;
}

/**
 * The place of one follower in the log. The log never lets go of what a registered follower has still to get: a
 * bounded log keeps the last update of every key for it.
 */
export interface LogFollower {
  readonly name: string;
  /** Everything up to here has been delivered. */
  readonly checkpoint: number;
  /**
   * Whether the log had let go of updates that this follower had still to get when it came: it is new to a log that does
   * not go back as far as it asked. Who can copy the whole state does so, others begin where the log does.
   */
  readonly tooLate: boolean;
  /**
   * The next updates after the last saved checkpoint, at most `limit`; `undefined` where there is nothing committed
   * beyond it. Reading again without saving gives them again.
   */
  read(limit: number): Promise<UpdateBatch | undefined>;
  /** Everything up to `position` has been delivered. Kept with the log where the log is durable. */
  save(position: number): Promise<void>;
  /**
   * Everything up to `position` may reach the destination by another way than `read`: a resync is copying the state as
   * it is there. Call it when the cut is made and before anything more is appended; else a bounded log may take a key
   * that comes and goes meanwhile for one that the destination has never seen, and not speak of its end.
   */
  expose(position: number): void;
  /** Forget this follower: the log need keep nothing for it any longer. */
  remove(): Promise<void>;
}

/** Where a follower stands. */
export interface FollowerCheckpoint {
  readonly name: string;
  readonly checkpoint: number;
  /** Whether it is registered now; else it has left its checkpoint in a durable log. */
  readonly registered: boolean;
}

/** `ready`: takes updates. `degraded`: storage has failed; reads go on, appends are refused. `closed`: for good. */
export type LogStatus = 'ready' | 'degraded' | 'closed';

/**
 * The log: every update in its one place. Appending is synchronous and gives the position; whether the update is
 * durable is known later. Followers and `onCommit` see an update only once it is committed, that is, once a crash can
 * no longer take it back (a memory log commits within the same turn of the event loop).
 */
export interface UpdateLog {
  /** Made when the log was created; tells its positions from those of any other log. */
  readonly id: string;
  /** Whether it survives the process. */
  readonly durable: boolean;
  readonly status: LogStatus;
  /** Position of the last appended update; 0 for an empty log. */
  readonly head: number;
  /** Position of the last committed update. */
  readonly committed: number;
  /** Oldest position that can still be read; `head + 1` where there is none. */
  readonly first: number;

  /**
   * Appends updates as one unit: after a crash all of them are there or none is. Sets their positions.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE` where the storage has failed, `OVERLOADED` where too much waits to
   *   be written, `CLOSED`. Nothing has been appended then.
   */
  append(updates: readonly PendingUpdate[]): void;

  /**
   * Resolves once everything up to `position` is committed; `undefined` where it is already. Rejects with
   * `OUTCOME_UNKNOWN` when the storage failed while writing it.
   */
  whenCommitted(position: number): Promise<void> | undefined;

  /** Resolves once everything appended so far is committed. */
  flush(): Promise<void>;

  /** Called with each group of updates once it is committed, in order. Returns how to stop. */
  onCommit(listener: (updates: readonly Update[]) => void): () => void;

  /** Called when `status` changes, with the cause of a failure. Returns how to stop. */
  onStatus(listener: (status: LogStatus, cause?: Error) => void): () => void;

  /**
   * Committed updates from position `from` to `to` (both inclusive, default: to the last committed one at the time of
   * the call), oldest first, in groups of a convenient size.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` where `from` is older than `first`.
   */
  read(from: number, to?: number): AsyncIterable<readonly Update[]>;

  /**
   * The follower of this name: as it was left, or, where it is new, at `start` (default 0: everything the log holds).
   * Names are unique while registered.
   */
  follower(name: string, start?: number): LogFollower;

  /** Where the followers stand that are registered, and those that have left a checkpoint here. */
  checkpoints(): readonly FollowerCheckpoint[];

  /**
   * Removes the checkpoint that a follower has left here: the log need keep nothing for it any longer.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` where it is registered, `NOT_FOUND` where there is none.
   */
  forget(name: string): Promise<void>;

  /**
   * Lets go of the updates up to `position`, about: some of them may stay, and a durable log never lets go of what one of
   * {@link UpdateLog.checkpoints} has still to get. From the call on `first` says what is left. A follower of a log in memory
   * that is behind still gets the last update of every key.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE` or `OUTCOME_UNKNOWN` where the storage has failed: what could not be
   *   removed goes the next time; `CLOSED`; or the signal's reason.
   */
  trim(position: number, signal?: AbortSignal): Promise<void>;

  /** Begins an empty log after `position`, as a restored snapshot asks for it. Only while `head` is 0. */
  beginAfter(position: number): Promise<void>;

  /** Commits what was appended, then lets go of the storage. Twice is fine. */
  close(): Promise<void>;
}

/** The update at a position of a log, once it is committed. */
export async function readUpdate(log: UpdateLog, position: number): Promise<Update | undefined> {
  await log.whenCommitted(position);
  for await (const [update] of log.read(position, position)) return update;
  return undefined;
}
