import { type Duration, type ExpiryOptions, SAME_EXPIRY } from './command.ts';
import { toMilliseconds } from './duration.ts';
import { invalidCommand } from './invalid-command.ts';

/** Instants beyond this are not dates in JavaScript. */
const LAST_INSTANT = 8.64e15;

/**
 * The instant of a request whose time is not known yet, because the stream of a cluster will say it. Far before all others, so
 * that an expiry counted from it differs from every instant; and an integer, so that nothing is rounded.
 */
export const UNTIMED = -9e15;

/** Returns the expiry of an untimed request once its instant is known. */
export function timedExpiry(at: number, expiresAt: number | null): number | null {
  return expiresAt === null || expiresAt >= SAME_EXPIRY ? expiresAt : at + (expiresAt - UNTIMED);
}

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
