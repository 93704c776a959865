import { ContextCacheError } from '../../core/errors.ts';

/**
 * Oldest nats-server for a cluster. On 2.9.10 the replicas of a stream came to differ in 3 of 3 runs with a paused leader; 2.10.27 is
 * the oldest one that the same runs found correct.
 */
const OLDEST = [2, 10, 27] as const;

/**
 * Checks that a server is new enough.
 *
 * @throws {ContextCacheError} `BACKEND_FAILED` with both versions and the reason.
 */
export function checkServerVersion(version: string | undefined, server: string): void {
  const parts = /^v?(\d+)\.(\d+)\.(\d+)/
    .exec(version ?? '')
    ?.slice(1)
    .map(Number);
  if (parts !== undefined && isAtLeast(parts)) return;
  const message = `NATS at ${server} is nats-server ${version ?? 'of an unknown version'}. A cluster needs ${OLDEST.join('.')} or later: the replicas of a stream of an older server can differ after a pause of its leader, without any error. Upgrade the servers.`;
  throw new ContextCacheError('BACKEND_FAILED', message);
}

function isAtLeast(parts: readonly number[]): boolean {
  for (const [index, least] of OLDEST.entries()) {
    const part = parts[index] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}
