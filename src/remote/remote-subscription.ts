import { toError } from '../core/errors.ts';
import type { Update } from '../core/update.ts';
import type { WatchFilter } from '../core/update-filter.ts';
import type { ActingParts } from './remote-parts.ts';
import { watchRemotely } from './remote-watch.ts';

/**
 * Calls `listener` with each update. Returns a function that stops it. If updates were missed, because the listener or
 * the connection was too slow, that is reported, and the present entries follow.
 */
export function subscribeRemotely(
  parts: ActingParts,
  listener: (update: Update) => void,
  filter: WatchFilter,
): () => void {
  const { namespace, namespacePrefix, keys, keyPrefix } = filter;
  const stopped = new AbortController();
  const { signal } = stopped;
  const report = (error: unknown) => parts.report(toError(error), { source: 'watch' });
  const watch = watchRemotely(parts.link, parts.clock, { namespace, namespacePrefix, keys, keyPrefix, signal }, report);
  const listen = async () => {
    for await (const update of watch) {
      if (signal.aborted) return;
      try {
        listener(update);
      } catch (error) {
        report(error);
      }
    }
  };
  listen().catch(report);
  return () => stopped.abort();
}
