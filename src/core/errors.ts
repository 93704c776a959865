/**
 * Every error this package throws or rejects with. `code` is stable and meant for programs, the message for people:
 * it names the offending thing and the remedy, and contains no value or key of the cache other than those
 * that the caller has just passed.
 */

/** The stable codes of {@link ContextCacheError}. */
export type ErrorCode =
  | 'INVALID_NAME'
  | 'INVALID_VALUE'
  | 'INVALID_COMMAND'
  | 'INVALID_OPTION'
  | 'SCHEMA_MISMATCH'
  | 'VERSION_CONFLICT'
  | 'MERGE_CONFLICT'
  | 'OPERATION_REUSED'
  | 'NAMESPACE_UNAVAILABLE'
  | 'BACKEND_FAILED'
  | 'OVERLOADED'
  | 'TIMED_OUT'
  | 'CLOSED'
  | 'LOG_UNAVAILABLE'
  | 'OUTCOME_UNKNOWN'
  | 'LOG_CORRUPT'
  | 'DIRECTORY_LOCKED'
  | 'OWNED_BY_ANOTHER'
  | 'FORMAT_UNSUPPORTED'
  | 'POSITION_UNAVAILABLE'
  | 'WATCH_OVERFLOW'
  | 'SNAPSHOT_CORRUPT'
  | 'NOT_FOUND'
  | 'NOT_EMPTY'
  | 'UNREACHABLE'
  | 'UNAUTHORIZED'
  | 'FORBIDDEN'
  | 'ACCESS_DENIED'
  | 'FILE_CORRUPT'
  | 'KEY_UNAVAILABLE'
  | 'SUBJECT_FORGOTTEN'
  | 'MIGRATION_FAILED'
  | 'INVARIANT';

/**
 * The base class of all errors of the package. {@link ContextCacheError.code} gives the kind.
 *
 * @example
 * ```ts
 * try { await cache.set('', 1); } catch (error) {
 *   if (error instanceof ContextCacheError && error.code === 'INVALID_NAME') console.error(error.message);
 * }
 * ```
 */
export class ContextCacheError extends Error {
  /** Kind of the failure. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ContextCacheError';
    this.code = code;
  }
}

/** A value that may not enter the cache; `path` leads to the invalid part inside it, as in `$.tags[2]`. */
export class InvalidValueError extends ContextCacheError {
  readonly path: string;

  constructor(path: string, problem: string, remedy: string) {
    super('INVALID_VALUE', `The value at ${path} ${problem}. ${remedy}`);
    this.name = 'InvalidValueError';
    this.path = path;
  }
}

/** Returns a thrown value as an `Error`; unchanged if it is one. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}
