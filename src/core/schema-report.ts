import { ContextCacheError } from './errors.ts';
import type { Migration } from './migrations.ts';
import { optionNames } from './options.ts';

/** Options of `checkSchemas`. */
export interface SchemaCheckOptions {
  /** First position whose value is checked. Default: the oldest that the log holds. */
  readonly from?: number | undefined;
  /** Last position whose value is checked. Default: the last one. Present values are checked whatever their positions. */
  readonly to?: number | undefined;
  /**
   * Steps by which values are migrated before they are checked, after those of the cache itself. Give them to check new ones, and
   * to a client, which does not know those of its server. A step that fails is reported as an issue, as one of the cache's own is. Default: none.
   */
  readonly migrations?: readonly Migration[] | undefined;
  /** Refused values in each list of the report, 0 to 100,000; all are counted. Default 100. */
  readonly limit?: number | undefined;
  /** Ends the check. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of values so far, about each 1,000 values; what it throws ends the check. */
  readonly onProgress?: ((progress: SchemaCheckProgress) => void) | undefined;
}

/** How far a check of schemas is. */
export interface SchemaCheckProgress {
  readonly stage: 'recorded' | 'present';
  /** Values of this stage so far. */
  readonly done: number;
  /** Share of the stage, from 0 to 1; absent if it is not known. */
  readonly fraction?: number | undefined;
}

/** Number of recorded values (of updates in the log) and of present ones. */
export interface ValueCounts {
  readonly recorded: number;
  readonly present: number;
}

/** A value that the schemas refuse. */
export interface RefusedValue {
  readonly namespace: string;
  readonly key: string;
  /** Position of its update; `null` if the log does not hold it. */
  readonly position: number | null;
  /** Version of the namespace with this value. */
  readonly version: number;
  /** Instant of the write, epoch milliseconds. */
  readonly at: number;
  /** Agent that wrote it; `null`: none was named. */
  readonly agent: string | null;
  /** What the schema found, each as `path: message`. */
  readonly issues: readonly string[];
}

/** Result of `checkSchemas`. */
export interface SchemaReport {
  /** `true` if the schemas accept every value that was checked. */
  readonly ok: boolean;
  /** First position that was read. */
  readonly from: number;
  /** Last position that was read; one less than `from` if the log holds no update of the range. */
  readonly to: number;
  /** Values for which there is a schema and that could be read. */
  readonly checked: ValueCounts;
  readonly refused: ValueCounts;
  /** Values of which a part is forgotten or sealed. They are not checked. */
  readonly unreadable: ValueCounts;
  /** Refused values of updates, in order of position; the first `limit` ones. */
  readonly recorded: readonly RefusedValue[];
  /** Refused values that readers see now, also those from a base or a snapshot whose updates the log does not hold; the first `limit` ones. */
  readonly present: readonly RefusedValue[];
  /** `true` if a list is shorter than its count. */
  readonly more: boolean;
}

const NAMES = optionNames<SchemaCheckOptions>('checkSchemas', {
  from: true,
  to: true,
  limit: true,
  migrations: true,
  signal: true,
  onProgress: true,
});

const MAX_LIMIT = 100_000;
const DEFAULT_LIMIT = 100;

/**
 * Returns the options with their bounds checked against the log and the defaults filled in.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`; `POSITION_UNAVAILABLE` if the log no longer holds `from`.
 */
export function checkedSchemaOptions(
  options: SchemaCheckOptions,
  log: { readonly first: number; readonly head: number },
): SchemaCheckOptions & { readonly from: number; readonly to: number; readonly limit: number } {
  NAMES.check(options);
  const { from = log.first, to = log.head, limit = DEFAULT_LIMIT } = options;
  if (!Number.isSafeInteger(from) || from < 1) throw invalid('from must be a position: an integer from 1');
  if (!Number.isSafeInteger(to) || to > log.head || to < from - 1)
    throw invalid(`to must be a position from ${from - 1}, which reads no update, to ${log.head}`);
  if (!Number.isSafeInteger(limit) || limit < 0 || limit > MAX_LIMIT)
    throw invalid(`limit must be an integer from 0 to ${MAX_LIMIT.toLocaleString('en')}`);
  if (from < log.first) {
    const message = `The log does not hold position ${from} any more. It starts at ${log.first}.`;
    throw new ContextCacheError('POSITION_UNAVAILABLE', message);
  }
  return { ...options, from, to, limit };
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', `${problem}.`);
}
