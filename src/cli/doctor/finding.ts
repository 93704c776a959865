import { ContextCacheError, systemClock } from '../../index.ts';
import { describe } from '../terminal/failure.ts';

/** What one look has found. */
export interface Finding {
  readonly check: 'node' | 'directory' | 'clock' | 'redis' | 'nats';
  /** `note`: not in use; `warning`: works, but see to it; `unreachable`: another system is not there. */
  readonly status: 'ok' | 'note' | 'warning' | 'problem' | 'unreachable';
  readonly message: string;
  /** What to do, where something is to be done. */
  readonly remedy?: string;
}

/** A server that is asked how it is. */
export interface AskedServer {
  readonly url: string;
  /** Somebody has said that it is to be used: a flag, the environment or a file. */
  readonly named: boolean;
}

/** How long another system may take. */
const PATIENCE_MS = 3_000;

/**
 * Waits for an answer, and not for ever. The work itself goes on.
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

/** A server that nobody has named is not missed. */
export function notThere(check: 'redis' | 'nats', error: unknown, shown: string, { named }: AskedServer): Finding {
  const reason = describe(error).message.replace(/\.$/, '');
  if (!named) return { check, status: 'note', message: `none at ${shown}, and none is asked for` };
  const remedy = `Start it, or mend the address or password where it is set ("context-cache config" shows where).`;
  const message = reason.includes(shown) ? reason : `${shown}: ${reason}`;
  return { check, status: 'unreachable', message, remedy };
}

/** `[7, 0, 15]` of `7.0.15`. */
export function isOlder(version: string, than: readonly number[]): boolean {
  const numbers = version.split('.').map((part) => Number.parseInt(part, 10) || 0);
  for (const [index, least] of than.entries()) {
    const number = numbers[index] ?? 0;
    if (number !== least) return number < least;
  }
  return false;
}
