import { CommanderError } from 'commander';
import { ContextCacheError, type ErrorCode } from '../../index.ts';

/** Exit codes of the command line. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  /** The check of `verify` could not be made. */
  unchecked: 2,
  notFound: 3,
  conflict: 4,
  unreachable: 5,
  /** Another process has the data directory open. */
  locked: 6,
  interrupted: 130,
} as const;

/** A mistake in the command line; the message says how to correct it. */
export class UsageError extends Error {}

/** Ctrl-C or another signal ended the work early. */
export class Interrupted extends Error {}

/** The user answered no. */
export class Declined extends Error {}

/** The reader of the output is gone (`| head`): the end, but no failure. */
export class OutputClosed extends Error {}

const EXIT_OF: Partial<Record<ErrorCode, number>> = {
  INVALID_NAME: EXIT.usage,
  INVALID_VALUE: EXIT.usage,
  INVALID_COMMAND: EXIT.usage,
  INVALID_OPTION: EXIT.usage,
  NOT_FOUND: EXIT.notFound,
  VERSION_CONFLICT: EXIT.conflict,
  UNREACHABLE: EXIT.unreachable,
  TIMED_OUT: EXIT.unreachable,
  DIRECTORY_LOCKED: EXIT.locked,
};

/** Returns the exit code for an error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError || error instanceof CommanderError) return EXIT.usage;
  if (error instanceof Interrupted) return EXIT.interrupted;
  if (error instanceof ContextCacheError) return EXIT_OF[error.code] ?? EXIT.failure;
  return EXIT.failure;
}

/** Returns the code of an error, for programs, and its message, for people. */
export function describe(error: unknown): { code: string; message: string } {
  if (error instanceof ContextCacheError) return { code: error.code, message: error.message };
  if (error instanceof CommanderError) return { code: 'USAGE', message: error.message.replace(/^error: /, '') };
  if (error instanceof Interrupted) return { code: 'INTERRUPTED', message: error.message };
  if (error instanceof UsageError) return { code: 'USAGE', message: error.message };
  const failed = error instanceof Error ? error : new Error(String(error));
  const code = (failed as NodeJS.ErrnoException).code;
  return { code: typeof code === 'string' ? code : 'INTERNAL', message: failed.message };
}
