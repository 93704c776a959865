import type { Clock } from '../core/clock.ts';
import type { ContextCacheError } from '../core/errors.ts';
import type { Reporter } from '../monitoring/reporter.ts';
import type { FindEndpoint } from './endpoint.ts';

/** Options of `Link.open`. */
export interface LinkOptions {
  readonly find: FindEndpoint;
  readonly clock: Clock;
  /** Longest wait of a request for a connection, milliseconds. */
  readonly timeoutMs: number;
  /** Most requests that wait to be sent. */
  readonly maxWaiting: number;
  /** Called when a connection is lost. */
  readonly onLost: (error: ContextCacheError) => void;
  readonly reporter: Reporter;
  /** Longest wait between two attempts to connect again, milliseconds. Default 1,000. */
  readonly longestRetryMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}
