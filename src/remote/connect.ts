import { randomBytes } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { type Clock, systemClock } from '../core/clock.ts';
import type { Duration } from '../core/command.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { AnyNamespaces, NamespaceTypes } from '../core/namespace-types.ts';
import { optionNames } from '../core/options.ts';
import type { FailureSource, Report } from '../core/report.ts';
import { type StampContext, stampOf } from '../core/stamp.ts';
import { durationOf } from '../engine/durations.ts';
import { Outcomes } from '../engine/outcome.ts';
import { type Logger, MONITORING_NAMES, type MonitoringOptions, Reporter } from '../monitoring/reporter.ts';
import { endpointOf } from './endpoint.ts';
import { Link } from './link.ts';
import { RemoteContextCache } from './remote-context-cache.ts';
import type { RemoteParts } from './remote-parts.ts';
import { RemoteReader } from './remote-reader.ts';
import { RemoteWriter } from './remote-writer.ts';

/** Options of {@link connect}. */
export interface ConnectOptions {
  /** Token of the server or of an agent. Default for a data directory: the token of the server, from `serve.json`. */
  readonly token?: string | undefined;
  /** Ends the wait for the connection. */
  readonly signal?: AbortSignal | undefined;
  /** Longest wait of a request while the server is out of reach: milliseconds, or a text. Default 30,000. */
  readonly timeoutMs?: Duration | undefined;
  /** Most requests that wait to be sent; a further one is refused with `OVERLOADED`. Default 100,000. */
  readonly maxWaiting?: number | undefined;
  /**
   * Gives each write an operation id, so that a write whose connection is lost before the answer is sent again and done once.
   * Default `false`: only writes with an `operationId` of their own are. Costs the server
   * about as much of the processor as a `set` in memory takes, for each write.
   */
  readonly repeatWrites?: boolean | undefined;
  /** Trusted certificates and the like, as for `tls.connect`; for servers with TLS. */
  readonly tls?: SecureContextOptions | undefined;
  /**
   * Called with each failure that no caller handles, and when a connection is lost. Default, without a `logger` too: a
   * process warning for the failures.
   */
  readonly onError?: ((error: Error, source: FailureSource) => void) | undefined;
  /** Takes log lines, as `pino` and `console` do; as for a cache. Default: none. */
  readonly logger?: Logger | undefined;
  /** Contents of log lines and tracing channels; as for a cache. */
  readonly monitoring?: MonitoringOptions | undefined;
  /** Says for each write who makes it and why; as for a cache. Default: none. */
  readonly context?: StampContext | undefined;
  /** Default: the system clock. */
  readonly clock?: Clock | undefined;
}

const CONNECT_OPTIONS = optionNames<ConnectOptions>('connect', {
  ...{ token: true, signal: true, timeoutMs: true, maxWaiting: true, repeatWrites: true },
  ...{ tls: true, onError: true, context: true, clock: true },
  ...{ logger: true, monitoring: optionNames<MonitoringOptions>('monitoring', MONITORING_NAMES) },
});

/**
 * Connects to a cache that another process serves with `startServer` or `context-cache serve`.
 *
 * @param target URL of a server, or a data directory that a process of this user serves.
 * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`; `NOT_FOUND` if the directory does not exist;
 *   `UNREACHABLE` if no process serves it or none answers; `UNAUTHORIZED`, `FORBIDDEN`, `OVERLOADED` if the server refuses;
 *   `FORMAT_UNSUPPORTED` if it has another protocol; and the signal's reason.
 *
 * @example
 * ```ts
 * await using remote = await connect('http://127.0.0.1:7071', { token: process.env.CONTEXT_CACHE_TOKEN });
 * for await (const update of remote.watch({ namespace: 'trip' })) console.log(update.key);
 * ```
 */
export async function connect<S extends NamespaceTypes<S> = AnyNamespaces>(
  target: string,
  options: ConnectOptions = {},
): Promise<RemoteContextCache<S>> {
  const { token, signal, tls, clock = systemClock } = CONNECT_OPTIONS.checked(options);
  const { maxWaiting = 100_000, repeatWrites = false } = options;
  if (!Number.isSafeInteger(maxWaiting) || maxWaiting < 1) {
    throw new ContextCacheError('INVALID_OPTION', 'maxWaiting must be an integer from 1 up.');
  }
  if (typeof repeatWrites !== 'boolean')
    throw new ContextCacheError('INVALID_OPTION', 'repeatWrites must be true or false.');
  const timeoutMs = durationOf('timeoutMs', options.timeoutMs) ?? 30_000;
  if (token !== undefined && !(typeof token === 'string' && /^[A-Za-z0-9_-]+$/.test(token)))
    throw new ContextCacheError('INVALID_OPTION', 'token must have characters of A-Z, a-z, 0-9, "-" and "_".');
  if (tls !== undefined && (typeof tls !== 'object' || tls === null))
    throw new ContextCacheError('INVALID_OPTION', 'tls must be an object, as for tls.connect.');
  const stamp = stampOf(options.context);
  const reporter = new Reporter(options);
  signal?.throwIfAborted();
  const report: Report = (error, source) => reporter.failure(error, source);
  // Not a process warning: the client connects again by itself.
  const hears = options.onError !== undefined || options.logger !== undefined;
  const onLost = (error: ContextCacheError) => hears && report(error, { source: 'connection' });
  const find = endpointOf(target, token, tls);
  const link = await Link.open({ find, clock, timeoutMs, maxWaiting, onLost, reporter, signal });
  return clientOver<S>({ link, clock, report, stamp }, repeatWrites);
}

/** Creates the client of a connected link; see {@link ConnectOptions.repeatWrites}. */
export function clientOver<S extends NamespaceTypes<S>>(
  parts: Omit<RemoteParts, 'reader' | 'writer' | 'outcomes'>,
  repeatWrites: boolean,
): RemoteContextCache<S> {
  const { link, report } = parts;
  const outcomes = new Outcomes(report);
  const reader = new RemoteReader(link, outcomes);
  const writer = new RemoteWriter(link, reader, outcomes, repeatWrites ? operationIds() : undefined);
  return new RemoteContextCache<S>({ ...parts, outcomes, reader, writer });
}

/** Returns a function that returns another operation id each time: a random text for this client, and a number. */
function operationIds(): () => string {
  const client = randomBytes(9).toString('base64url');
  let count = 0;
  return () => {
    count += 1;
    return `${client}:${count}`;
  };
}
