import type { Duration, ExpiryOptions } from './command.ts';
import { toMilliseconds } from './duration.ts';
import { invalidCommand } from './invalid-command.ts';

/** Instants beyond this are not dates in JavaScript. */
const LAST_INSTANT = 8.64e15;

/** Returns the instant at which an entry written at `at` expires; `null`: never. */
export function expiryOf(at: number, options: ExpiryOptions): number | null {
  if (options.ttl !== undefined) {
    if (options.expiresAt !== undefined) throw invalidCommand('give ttl or expiresAt, not both');
    return at + durationMs(options.ttl);
  }
  const { expiresAt } = options;
  if (expiresAt === undefined || expiresAt === null) return null;
  const instant = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt;
  if (typeof instant !== 'number' || !(instant >= 0 && instant <= LAST_INSTANT)) {
    throw invalidCommand('expiresAt must be a Date, epoch milliseconds or null');
  }
  return Math.floor(instant);
}

function durationMs(duration: Duration): number {
  const parsed = toMilliseconds(duration);
  if (parsed === undefined || !(parsed >= 1 && parsed <= LAST_INSTANT / 2)) {
    throw invalidCommand(
      "ttl must be at least 1 millisecond: a number of milliseconds, or a string such as '10s' or '5m'",
    );
  }
  return Math.floor(parsed);
}
