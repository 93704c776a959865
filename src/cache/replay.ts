import { ContextCacheError } from '../core/errors.ts';
import type { AnyNamespaces, NamespaceTypes } from '../core/namespace-types.ts';
import { optionNames } from '../core/options.ts';
import { inMilliseconds } from '../engine/durations.ts';
import { OPEN_NAMES } from '../engine/option-names.ts';
import type { OpenOptions } from '../engine/options.ts';
import type { FillOptions } from '../replay/fill.ts';
import { replayedStorage } from '../replay/replayed-storage.ts';
import type { ReplayReport } from '../replay/report.ts';
import type { ReplaySource } from '../replay/source.ts';
import { AgentContextCache } from './agent-context-cache.ts';

/** Options of a replay, and of the cache that it opens. */
export interface ReplayOptions extends Omit<OpenOptions, 'primaryCache' | 'cluster'>, FillOptions {
  /**
   * Start from the newest complete snapshot there, as `open` does, and replay only the updates after it. The source
   * needs none of the earlier ones. Default: start from the empty cache.
   */
  readonly restoreFrom?: OpenOptions['restoreFrom'];
}

const { primaryCache: _1, cluster: _2, ...REPLAYED_NAMES } = OPEN_NAMES;

const REPLAY_OPTIONS = optionNames<ReplayOptions>('replay', {
  ...REPLAYED_NAMES,
  until: true,
  repair: true,
  signal: true,
  onProgress: true,
});

/** A replayed cache, ready for use, with the report of the replay. */
export interface Replayed<S extends NamespaceTypes<S> = AnyNamespaces> {
  readonly cache: AgentContextCache<S>;
  readonly report: ReplayReport;
}

/**
 * Creates a cache from a recorded log, with the same values, versions and positions: in memory, or in a new directory
 * with `dataDir`. The new log has its own id; `at` and `agent` are those of the recording. Entries whose expiry has
 * passed expire at once, as they do whenever a log is opened.
 *
 * A damaged source is refused, and nothing is created: an unreadable line, a missing or repeated position, a version
 * that does not follow, or a newer format. `repair: true` uses the intact part: see {@link ReplayReport}. Needs memory
 * for the state only, however long the log. A process that ends early leaves the new directory without a database,
 * never with a part of one.
 *
 * @throws {ReplayRefusedError} with the line or position and the reason.
 * @throws {ContextCacheError} `NOT_FOUND` if the source is missing, `NOT_EMPTY` if `dataDir` holds something already,
 *   `DIRECTORY_LOCKED`, `POSITION_UNAVAILABLE` if the source no longer has the updates up to `until`, `INVALID_OPTION`,
 *   and for a stream `UNREACHABLE`, `TIMED_OUT`, `BACKEND_FAILED`.
 *
 * @example
 * ```ts
 * const { cache, report } = await replay('run.ndjson', { until: new Date('2026-01-31T12:00:00Z') });
 * console.log(report.position, cache.get('plan', 'trip'));
 * ```
 */
export async function replay<S extends NamespaceTypes<S> = AnyNamespaces>(
  source: ReplaySource,
  options: ReplayOptions = {},
): Promise<Replayed<S>> {
  mustBeAlone(options);
  const given = inMilliseconds(REPLAY_OPTIONS.checked(options));
  const { report, open } = await replayedStorage(source, given);
  return { cache: await AgentContextCache.over<S>(given, await open()), report };
}

/** Refuses a primary, which the types exclude for TypeScript callers only. */
function mustBeAlone(options: OpenOptions): void {
  if (options.primaryCache === undefined) return;
  throw new ContextCacheError('INVALID_OPTION', 'replay cannot fill a primaryCache. Leave the option out.');
}
