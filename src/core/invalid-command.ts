import { ContextCacheError } from './errors.ts';

/** Creates the error for a command that says nothing that can be done. `problem` is a sentence without its capital and stop. */
export function invalidCommand(problem: string, cause?: unknown): ContextCacheError {
  const end = problem.endsWith('?') ? '' : '.';
  return new ContextCacheError('INVALID_COMMAND', `${problem[0]?.toUpperCase()}${problem.slice(1)}${end}`, { cause });
}
