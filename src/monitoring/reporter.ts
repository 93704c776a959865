import { ContextCacheError, type ErrorCode } from '../core/errors.ts';
import type { NamesOf } from '../core/options.ts';
import type { FailureSource } from '../core/report.ts';
import { codeOf } from './trace.ts';

/** Fields of a line of a {@link Logger}. They hold no key and no value. */
export interface LogFields {
  /** The part that the line comes from: `command`, `namespace`, a follower's name, `log`, `watch` … */
  readonly source: string;
  readonly namespace?: string;
  readonly command?: string;
  /** Code of the error, or the name of an error of another kind. */
  readonly code?: string;
  /** The error itself. Only with `monitoring: { details: true }`. */
  readonly err?: Error;
}

/**
 * Takes the log lines of a cache, as `pino`, `bunyan` and `console` do: first the fields, then the text.
 *
 * - `error`: a failure that no caller handles.
 * - `warn`: a conflict that no caller handles, a log that cannot be written, a lost connection.
 * - `info`: the cache is opened or shut down, a follower is connected, the log works again.
 * - `debug`: attempts to connect.
 */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

/** Controls what is written about keys and values. */
export interface MonitoringOptions {
  /**
   * Adds keys and errors to the messages of the tracing channels, and the full texts of errors to log lines. They may
   * contain keys and parts of values. Default false.
   */
  readonly details?: boolean | undefined;
}

/** Names of {@link MonitoringOptions}. */
export const MONITORING_NAMES = { details: true } as const satisfies NamesOf<MonitoringOptions>;

/** The options that say where failures and log lines go. */
export interface ReporterOptions {
  readonly onError?: ((error: Error, source: FailureSource) => void) | undefined;
  readonly logger?: Logger | undefined;
  readonly monitoring?: MonitoringOptions | undefined;
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof LEVELS)[number];

/** Codes of errors whose texts quote what a caller has given. */
const QUOTING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'INVALID_NAME',
  'INVALID_VALUE',
  'INVALID_COMMAND',
  'SCHEMA_MISMATCH',
]);

/**
 * The one way of everything that no caller asked for: a failure goes to `onError` and to `logger`, whichever was given, and
 * becomes a process warning if neither was; a log line goes to `logger`.
 */
export class Reporter {
  readonly #options: ReporterOptions;

  /** @throws {ContextCacheError} `INVALID_OPTION`. */
  constructor(options: ReporterOptions) {
    const { onError, logger, monitoring } = options;
    if (onError !== undefined && typeof onError !== 'function') throw invalid('onError must be a function.');
    if (logger !== undefined && !isLogger(logger))
      throw invalid(`logger must have the methods ${LEVELS.join(', ')}, as pino and console have.`);
    if (monitoring?.details !== undefined && typeof monitoring.details !== 'boolean')
      throw invalid('monitoring.details must be true or false.');
    this.#options = options;
  }

  /** True if keys, values and errors may be published and written. */
  get details(): boolean {
    return this.#options.monitoring?.details === true;
  }

  /** Reports a failure that no caller handles. */
  failure(error: Error, source: FailureSource): void {
    const { onError, logger } = this.#options;
    const code = codeOf(error);
    if (onError === undefined && logger === undefined) {
      if (code !== 'VERSION_CONFLICT') warn(`${source.source}: ${error.message}`, code);
      return;
    }
    if (onError !== undefined) call('onError', () => onError(error, source));
    if (logger === undefined) return;
    const fields = this.details ? { ...source, code, err: error } : { ...source, code };
    this.log(code === 'VERSION_CONFLICT' ? 'warn' : 'error', fields, this.#textOf(error));
  }

  /** Writes a log line. `message` must not name a key or a value. */
  log(level: Level, fields: LogFields, message: string): void {
    const { logger } = this.#options;
    if (logger !== undefined) call('logger', () => logger[level](fields, message));
  }

  /** Writes a log line about an error that is not a failure, or not yet. */
  problem(level: Level, fields: LogFields, message: string, error: Error): void {
    if (this.#options.logger === undefined) return;
    const about = { ...fields, code: codeOf(error) };
    this.log(level, this.details ? { ...about, err: error } : about, `${message}: ${this.#textOf(error)}`);
  }

  #textOf(error: Error): string {
    if (this.details) return error.message;
    if (error instanceof ContextCacheError && !QUOTING.has(error.code)) return error.message;
    return `${codeOf(error)}. The text is left out because it may quote keys or values; see monitoring.details.`;
  }
}

function isLogger(candidate: unknown): candidate is Logger {
  if (typeof candidate !== 'object' || candidate === null) return false;
  return LEVELS.every((level) => typeof (candidate as Record<string, unknown>)[level] === 'function');
}

/** Calls the user's code. An error of it becomes a warning, because it must not break the work that is reported. */
function call(name: string, run: () => void): void {
  try {
    run();
  } catch (thrown) {
    warn(`${name} itself threw: ${String(thrown)}`);
  }
}

function warn(message: string, code?: string): void {
  process.emitWarning(message, 'ContextCacheWarning', code);
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
