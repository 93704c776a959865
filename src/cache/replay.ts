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

/** How a log is replayed; besides that, everything that the replayed cache is opened with. */
export interface ReplayOptions extends Omit<OpenOptions, 'primaryCache'>, FillOptions {
  /**
   * Begin with the newest whole snapshot there, as `open` does, and replay only what comes after it: the source need
   * not go back any further. Default: begin with the empty cache.
   */
  readonly restoreFrom?: OpenOptions['restoreFrom'];
}

const { primaryCache: _, ...REPLAYED_NAMES } = OPEN_NAMES;

const REPLAY_OPTIONS = optionNames<ReplayOptions>('replay', {
  ...REPLAYED_NAMES,
  until: true,
  repair: true,
  signal: true,
  onProgress: true,
});

/** A replayed cache, ready to be used, and how it came about. */
export interface Replayed<S extends NamespaceTypes<S> = AnyNamespaces> {
  readonly cache: AgentContextCache<S>;
  readonly report: ReplayReport;
}

/**
 * Makes a cache out of a recorded log: the same values, versions and positions. In memory, or with `dataDir` in a new
 * directory. The log is recorded anew, under an id of its own; `at` and `agent` are those of the recording. Entries
 * whose time is over by now expire at once, as they do wherever a log is opened.
 *
 * A source that is not whole (a line that cannot be read, a position that is missing or there twice, a version that
 * does not follow, a newer format) is refused, and nothing is made. `repair: true` uses what is left: see
 * {@link ReplayReport}. Memory is that of the state, however long the log. A process that ends before its time leaves a
 * new directory without a database, never with part of one.
 *
 * @throws {ReplayRefusedError} with the line or position and the reason.
 * @throws {ContextCacheError} `NOT_FOUND` (no such source), `NOT_EMPTY` (the new directory is none),
 *   `DIRECTORY_LOCKED`, `POSITION_UNAVAILABLE` (the source no longer has the updates up to `until`), `INVALID_OPTION`,
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

/** Refuses a primary, as JavaScript callers are not held to the types. */
function mustBeAlone(options: OpenOptions): void {
  if (options.primaryCache === undefined) return;
  throw new ContextCacheError('INVALID_OPTION', 'A log can not be replayed into a primary of your own.');
}
