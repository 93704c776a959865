import { ContextCacheError } from '../core/errors.ts';

/** Errors that the logs in memory and on disk share. */

/** A closed log was used. */
export function closed(): ContextCacheError {
  return new ContextCacheError('CLOSED', 'The log has been closed. Open it again.');
}

/** The log no longer holds this position. */
export function notHeld(from: number, first: number): ContextCacheError {
  return new ContextCacheError(
    'POSITION_UNAVAILABLE',
    `The log no longer holds position ${from}. Read from ${first} on, or start from a snapshot of the state. ` +
      'Set log.keepUpdates, keepMs or keepBytes to keep more.',
  );
}

/** The position has not been assigned yet. */
export function notAppended(position: number, head: number): ContextCacheError {
  return new ContextCacheError(
    'INVARIANT',
    `Position ${position} has not been appended: the log ends at ${head}. Wait only for positions that append has assigned.`,
  );
}

/** A log with updates was to start at another position. */
export function notEmpty(head: number): ContextCacheError {
  return new ContextCacheError(
    'NOT_EMPTY',
    `The log already ends at position ${head}; only an empty log can start at another position. Use a new log or data directory.`,
  );
}

/** The checkpoint of a running follower was to be discarded. */
export function isFollowed(name: string): ContextCacheError {
  return new ContextCacheError(
    'INVALID_OPTION',
    `Follower ${name} is running, so its checkpoint cannot be discarded. Open the cache without it first.`,
  );
}

/** The follower whose checkpoint was to be discarded has none. */
export function noSuchCheckpoint(name: string): ContextCacheError {
  return new ContextCacheError(
    'NOT_FOUND',
    `No follower named ${name} has a checkpoint. health() lists those that have.`,
  );
}

/** The storage accepts no updates at present. */
export function unavailable(path: string, cause: Error | undefined): ContextCacheError {
  const why = cause?.message ?? 'it is recovering';
  return new ContextCacheError(
    'LOG_UNAVAILABLE',
    `The log in ${path} accepts no updates at present: ${why}. Nothing has changed; try again when onStatus reports ready.`,
    cause && { cause },
  );
}

/** Too many bytes wait to be written. */
export function overloaded(maxPendingBytes: number): ContextCacheError {
  return new ContextCacheError(
    'OVERLOADED',
    `More than ${maxPendingBytes} bytes wait to be written. Await your writes, or raise maxPendingBytes.`,
  );
}

/** Refuses a batch size below 1. */
export function assertLimit(limit: number): void {
  if (!(limit >= 1))
    throw new ContextCacheError('INVALID_OPTION', `The limit of a batch must be at least 1, not ${limit}.`);
}

/** Refuses a checkpoint beyond the head: it belongs to another log or is a mistake. */
export function assertReached(name: string, position: number, head: number): void {
  if (position <= head) return;
  throw new ContextCacheError(
    'INVARIANT',
    `Follower ${name} cannot have finished position ${position}: the log ends at ${head}. Resync it with this log.`,
  );
}

/** The position is before the oldest one that is kept. */
export function beforeThePast(position: number, first: number): ContextCacheError {
  return new ContextCacheError(
    'POSITION_UNAVAILABLE',
    `The state at position ${position} is no longer kept: the past goes back to position ${first}. Use a later position, or ` +
      'keep more with log.keepUpdates, keepMs or keepBytes.',
  );
}

/** The instant is before the oldest position that is kept. */
export function tooEarly(instant: number, first: number): ContextCacheError {
  const time = new Date(instant).toISOString();
  return new ContextCacheError(
    'POSITION_UNAVAILABLE',
    `The state at ${time} is no longer kept: the past goes back to position ${first}. Use a later time, or keep more ` +
      'with log.keepUpdates, keepMs or keepBytes.',
  );
}

/** The position has not been written yet. */
export function beyondTheLog(position: number, head: number): ContextCacheError {
  return new ContextCacheError(
    'POSITION_UNAVAILABLE',
    `Position ${position} has not been written yet: the log ends at ${head}. Use that position or an earlier one.`,
  );
}

/** Updates that must be readable synchronously are not. */
export function notAtHand(from: number, to: number): ContextCacheError {
  return new ContextCacheError(
    'INVARIANT',
    `Updates between positions ${from} and ${to} are missing. The state on disk and the log do not belong together.`,
  );
}
