import { ContextCacheError } from '../core/errors.ts';

/** The errors that the logs have in common. */

/** A closed log was used. */
export function closed(): ContextCacheError {
  return new ContextCacheError('CLOSED', 'The log has been closed. Open it again.');
}

/** A position that the log no longer holds. */
export function notHeld(from: number, first: number): ContextCacheError {
  return new ContextCacheError(
    'POSITION_UNAVAILABLE',
    `The log does not hold position ${from}. Read from ${first} on, or begin with a snapshot of the state. ` +
      'What is kept is set by log.keepUpdates, keepMs and keepBytes.',
  );
}

/** A position that nobody has been given. */
export function notAppended(position: number, head: number): ContextCacheError {
  return new ContextCacheError(
    'INVARIANT',
    `Position ${position} has not been appended: the log ends at ${head}. Wait only for what append has returned.`,
  );
}

/** A log that was asked to begin elsewhere has begun already. */
export function notEmpty(head: number): ContextCacheError {
  return new ContextCacheError(
    'NOT_EMPTY',
    `The log already ends at position ${head}; only an empty one can begin elsewhere. Use a new log or data directory.`,
  );
}

/** The checkpoint of a follower that runs was to be forgotten. */
export function isFollowed(name: string): ContextCacheError {
  return new ContextCacheError(
    'INVALID_OPTION',
    `Follower ${name} is running, so that its checkpoint can not be forgotten. Open the cache without it.`,
  );
}

/** The checkpoint of a follower was to be forgotten that has none. */
export function noSuchCheckpoint(name: string): ContextCacheError {
  return new ContextCacheError('NOT_FOUND', `No follower of the name ${name} has left a checkpoint. See health().`);
}

/** The storage takes nothing now. */
export function unavailable(path: string, cause: Error | undefined): ContextCacheError {
  const why = cause?.message ?? 'it is being made ready';
  return new ContextCacheError(
    'LOG_UNAVAILABLE',
    `The log in ${path} takes no updates now: ${why}. Nothing has changed; try again when onStatus says ready.`,
    cause && { cause },
  );
}

/** Too much waits for the disk. */
export function overloaded(maxPendingBytes: number): ContextCacheError {
  return new ContextCacheError(
    'OVERLOADED',
    `More than ${maxPendingBytes} bytes wait to be written. Await your writes, or raise maxPendingBytes.`,
  );
}

/** Refuses a batch without room. */
export function assertLimit(limit: number): void {
  if (!(limit >= 1))
    throw new ContextCacheError('INVALID_OPTION', `A batch must have room for 1 update, not ${limit}.`);
}

/** Refuses a checkpoint that lies beyond the log, which belongs to another log or is a mistake. */
export function assertReached(name: string, position: number, head: number): void {
  if (position <= head) return;
  throw new ContextCacheError(
    'INVARIANT',
    `Follower ${name} cannot have finished position ${position}: the log ends at ${head}. Resync it with this log.`,
  );
}

/** A moment that lies before what is kept of the past. */
export function beforeThePast(position: number, first: number): ContextCacheError {
  return new ContextCacheError(
    'POSITION_UNAVAILABLE',
    `The state at position ${position} is not kept: the past goes back to position ${first}. Ask for a later one, or ` +
      'keep more: log.keepUpdates, keepMs, keepBytes.',
  );
}

/** An instant that lies before what is kept of the past. */
export function tooEarly(instant: number, first: number): ContextCacheError {
  const time = new Date(instant).toISOString();
  return new ContextCacheError(
    'POSITION_UNAVAILABLE',
    `The state at ${time} is not kept: the past goes back to position ${first}. Ask for a later moment, or keep more: ` +
      'log.keepUpdates, keepMs, keepBytes.',
  );
}

/** A moment that has not come yet. */
export function beyondTheLog(position: number, head: number): ContextCacheError {
  return new ContextCacheError(
    'POSITION_UNAVAILABLE',
    `Position ${position} has not been written yet: the log ends at ${head}. Ask for that one or an earlier one.`,
  );
}

/** Updates that should be readable at once and are not. */
export function notAtHand(from: number, to: number): ContextCacheError {
  return new ContextCacheError(
    'INVARIANT',
    `Not all updates from position ${from} to ${to} are at hand. The state on disk and the log do not belong together.`,
  );
}
