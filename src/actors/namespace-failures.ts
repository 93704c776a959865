import { ContextCacheError } from '../core/errors.ts';
import type { Report } from '../core/report.ts';
import type { Request } from '../core/request.ts';
import type { NamespaceActor } from '../storage/namespace-record.ts';
import { crashed } from './executor.ts';

/** Fails a request that is not settled because its actor crashed. */
export function failIfCrashed(actor: NamespaceActor, request: Request): void {
  const { status, error } = actor.getSnapshot();
  if (!request.settled && status === 'error') request.fail(crashed(error));
}

/** Reports that a namespace cannot be brought to memory and returns the error for its command. */
export function unreadable(
  namespace: string,
  cause: Error,
  { report }: { readonly report: Report },
): ContextCacheError {
  // The storage is closed, which is no fault of the namespace.
  if (cause instanceof ContextCacheError && cause.code === 'CLOSED') return cause;
  const error = new ContextCacheError(
    'NAMESPACE_UNAVAILABLE',
    'This namespace cannot be read from the data directory; the others continue. See the cause.',
    { cause },
  );
  report(error, { source: 'namespace', namespace });
  return error;
}
