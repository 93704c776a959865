import { CommanderError } from 'commander';
import { ContextCacheError, type ErrorCode } from '../../index.ts';

/** Exit codes of the command line. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  /** Of `verify`: it could not be looked at. */
  unchecked: 2,
  notFound: 3,
  conflict: 4,
  unreachable: 5,
  interrupted: 130,
} as const;

/** The command line was not understood; the message says how to write it. */
export class UsageError extends Error {}

/** Ctrl-C, or being told to end, before the work was done. */
export class Interrupted extends Error {}

/** Somebody was asked and said no. */
export class Declined extends Error {}

/** Nobody reads what is written any more (`| head`): no failure, but the end. */
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
};

/** The exit code that an error ends the program with. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError || error instanceof CommanderError) return EXIT.usage;
  if (error instanceof Interrupted) return EXIT.interrupted;
  if (error instanceof ContextCacheError) return EXIT_OF[error.code] ?? EXIT.failure;
  return EXIT.failure;
}

/** An error as it is told: a code for programs, a message for people. */
export function describe(error: unknown): { code: string; message: string } {
  if (error instanceof ContextCacheError) return { code: error.code, message: error.message };
  if (error instanceof CommanderError) return { code: 'USAGE', message: error.message.replace(/^error: /, '') };
  if (error instanceof Interrupted) return { code: 'INTERRUPTED', message: error.message };
  if (error instanceof UsageError) return { code: 'USAGE', message: error.message };
  const failed = error instanceof Error ? error : new Error(String(error));
  const code = (failed as NodeJS.ErrnoException).code;
  return { code: typeof code === 'string' ? code : 'INTERNAL', message: failed.message };
}
