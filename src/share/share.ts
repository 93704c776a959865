import { systemClock } from '../core/clock.ts';
import { pause } from '../core/deadline.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { NamespaceTypes } from '../core/namespace-types.ts';
import type { Report } from '../core/report.ts';
import { stampOf } from '../core/stamp.ts';
import { clientOver } from '../remote/connect.ts';
import { Link } from '../remote/link.ts';
import type { LinkOptions } from '../remote/link-options.ts';
import type { RemoteContextCache } from '../remote/remote-context-cache.ts';
import { Keeper } from './keeper.ts';
import { type CacheClass, checkedShareOptions, type ShareOptions } from './share-options.ts';

/** Longest wait between two attempts to find the holder, milliseconds. */
const RETRY_MS = 100;
/** Most requests that wait to be sent. */
const MAX_WAITING = 100_000;

/** Shares a directory; see `AgentContextCache.share`. */
export async function share<S extends NamespaceTypes<S>>(
  Cache: CacheClass,
  dataDir: string,
  options: ShareOptions<S>,
): Promise<RemoteContextCache<S>> {
  if (typeof dataDir !== 'string' || dataDir === '')
    throw new ContextCacheError('INVALID_OPTION', 'AgentContextCache.share takes the path of a data directory.');
  const checked = await checkedShareOptions(Cache, options as unknown as ShareOptions);
  const { server, mcp, timeoutMs, hungAfterMs, repeatWrites, reporter } = checked;
  const { clock = systemClock, onError, logger, signal } = options;
  const stamp = stampOf(options.context);
  signal?.throwIfAborted();
  const report: Report = (error, source) => reporter.failure(error, source);
  const open = () => Cache.open({ ...checked.open, dataDir });
  const keeper = new Keeper({ dataDir, open, server, mcp, shared: { hungAfterMs }, clock, waitMs: timeoutMs, report });
  // Not a process warning: the client goes on with the next holder by itself.
  const hears = onError !== undefined || logger !== undefined;
  const onLost = (error: ContextCacheError) => hears && report(error, { source: 'connection' });
  const find = () => keeper.find();
  const stop = () => keeper.stop();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const link = await connected({
      find,
      clock,
      timeoutMs,
      maxWaiting: MAX_WAITING,
      onLost,
      longestRetryMs: RETRY_MS,
      reporter,
      signal,
    });
    return clientOver<S>({ link, clock, report, stamp, release: (waitMs) => keeper.close(waitMs) }, repeatWrites);
  } catch (error) {
    await keeper.close(0);
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** Connects. Tries again while another process is opening the directory, or hangs and is about to be ended. */
async function connected(options: LinkOptions): Promise<Link> {
  const { clock, timeoutMs, signal = new AbortController().signal } = options;
  for (const due = clock.now() + timeoutMs; ; ) {
    try {
      return await Link.open(options);
    } catch (error) {
      if (signal.aborted || !isTemporary(error) || clock.now() >= due) throw error;
    }
    await pause(clock, RETRY_MS, signal);
  }
}

/** Returns whether the directory may be reached later: another process is opening it, or is closing. */
function isTemporary(error: unknown): boolean {
  return error instanceof ContextCacheError && (error.code === 'UNREACHABLE' || error.code === 'UNAUTHORIZED');
}
