import { ContextCacheError, systemClock } from '../../index.ts';
import { describe } from '../terminal/failure.ts';

/** Result of one check. */
export interface Finding {
  readonly check: 'node' | 'directory' | 'clock' | 'redis' | 'nats' | 'cluster';
  /**
   * `note`: not in use; `warning`: works, but needs attention; `locked`: another process has the directory open;
   * `unreachable`: another system does not answer.
   */
  readonly status: 'ok' | 'note' | 'warning' | 'problem' | 'locked' | 'unreachable';
  readonly message: string;
  /** Remedy, if something should be done. */
  readonly remedy?: string;
}

/** A server to check. */
export interface CheckedServer {
  readonly url: string;
  /** Set if a flag, the environment or a file names it. */
  readonly named: boolean;
}

/** Longest wait for another system, milliseconds. */
const PATIENCE_MS = 3_000;

/**
 * Waits for an answer, at most {@link PATIENCE_MS}. Does not end the work itself.
 *
 * @throws {ContextCacheError} `TIMED_OUT`.
 */
export async function inTime<Answer>(work: Promise<Answer>): Promise<Answer> {
  let timer: unknown;
  const late = new Promise<never>((_, reject) => {
    const timedOut = new ContextCacheError('TIMED_OUT', `No answer within ${PATIENCE_MS} ms.`);
    timer = systemClock.setTimeout(() => reject(timedOut), PATIENCE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    systemClock.clearTimeout(timer);
  }
}

/** Makes the finding for a server that does not answer; only a named one is missed. */
export function unreachable(
  check: 'redis' | 'nats' | 'cluster',
  error: unknown,
  shown: string,
  { named }: CheckedServer,
): Finding {
  const reason = describe(error).message.replace(/\.$/, '');
  if (!named) return { check, status: 'note', message: `none at ${shown}, and none is required` };
  const remedy = `Start it, or correct its address or password ("context-cache config" shows where it is set).`;
  const message = reason.includes(shown) ? reason : `${shown}: ${reason}`;
  return { check, status: 'unreachable', message, remedy };
}

/** Returns whether a version such as `7.0.15` is older than `[7, 0, 16]`. */
export function isOlder(version: string, than: readonly number[]): boolean {
  const numbers = version.split('.').map((part) => Number.parseInt(part, 10) || 0);
  for (const [index, least] of than.entries()) {
    const number = numbers[index] ?? 0;
    if (number !== least) return number < least;
  }
  return false;
}
