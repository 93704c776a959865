import { AgentContextCache } from '../agent-context-cache.ts';
import type { OpenOptions } from '../cache/options.ts';
import { memoryStorage } from '../cache/storage.ts';
import type { AnyNamespaces, NamespaceTypes } from '../cache/types.ts';
import { systemClock } from '../core/clock.ts';
import { untilAborted } from '../core/deadline.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import type { PendingUpdate } from '../core/update.ts';
import { DEFAULT_VALUE_LIMITS } from '../core/value.ts';
import type { UpdateLog } from '../log/update-log.ts';
import { LogWriter } from './log-writer.ts';
import { openSource } from './open-source.ts';
import type { ReplayReport } from './report.ts';
import { Sequence, type Until } from './sequence.ts';
import type { RecordSource, ReplaySource, SourceSettings } from './source.ts';
import { RECORD_FORMATS, type RecordFormats } from './upcast.ts';

/** How far a replay has come. */
export interface ReplayProgress {
  /** Recorded position of the last update taken. */
  readonly position: number;
  /** How much of the source has been read, from 0 to 1; `undefined` where that cannot be known. */
  readonly fraction: number | undefined;
}

/** How a log is replayed; besides that, everything that the replayed cache is opened with. */
export interface ReplayOptions extends Omit<OpenOptions, 'primaryCache' | 'restoreFrom'> {
  /**
   * Stop there: a recorded position (its update is the last one), or an instant (the first update asked for after it,
   * and all that follow it in the log, are left out). What comes after it is neither needed nor looked at. Beyond the
   * end: all of the log. Default: all.
   */
  readonly until?: number | Date | undefined;
  /** Use what can be used of a source that is not whole; the report tells what was left out. Default false. */
  readonly repair?: boolean | undefined;
  /** Ends the replay with its reason; nothing is left of it. */
  readonly signal?: AbortSignal | undefined;
  /** Told from time to time, about a thousand updates apart. What it throws ends the replay. */
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined;
  /** For tests: the format versions there are. */
  readonly formats?: RecordFormats | undefined;
}

/** A replayed cache, ready to be used, and how it came about. */
export interface Replayed<S extends NamespaceTypes = AnyNamespaces> {
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
export async function replay<S extends NamespaceTypes = AnyNamespaces>(
  source: ReplaySource,
  options: ReplayOptions = {},
): Promise<Replayed<S>> {
  const { until, repair, signal, onProgress, formats, ...open } = options;
  const { dataDir } = open;
  if (dataDir !== undefined) {
    const report = await read(source, options, (fill) => fillDirectory(dataDir, options, fill));
    return { cache: await AgentContextCache.open<S>(open), report };
  }
  const storage = memoryStorage(open);
  const report = await read(source, options, async (fill) => {
    for (const state of await fill(storage.log)) storage.registry.put(state.name, state);
  });
  return { cache: new AgentContextCache<S>(open, storage, false), report };
}

/** Writes what is read into the log; gives the namespaces that it comes to. */
type Fill = (log: UpdateLog) => Promise<Iterable<NamespaceState>>;

/** The source is closed again before a cache is opened, whose expiries would be due meanwhile. */
async function read(
  source: ReplaySource,
  options: ReplayOptions,
  into: (fill: Fill) => Promise<void>,
): Promise<ReplayReport> {
  const until = untilOf(options.until);
  mustBeAlone(options);
  options.signal?.throwIfAborted();
  await using records = await openSource(source, settingsOf(options));
  mustReach(records, until);
  const repeats = () => records.repeats;
  const sequence = new Sequence({ base: records.base, repeats, until, repair: options.repair ?? false });
  await into((log) => writeAll(records, sequence, log, options));
  return sequence.report();
}

async function fillDirectory(dataDir: string, options: ReplayOptions, fill: Fill): Promise<void> {
  const { clock = systemClock, sync, signal } = options;
  // Loaded only here: a cache in memory needs no storage engine.
  const { StagedDirectory } = await import('./staging.ts');
  const staged = await StagedDirectory.create(dataDir, { clock, sync });
  try {
    await staged.finish(await fill(staged.log), signal);
  } catch (error) {
    await staged.discard();
    throw error;
  }
}

async function writeAll(
  records: RecordSource,
  sequence: Sequence,
  log: UpdateLog,
  { signal, onProgress }: ReplayOptions,
): Promise<Iterable<NamespaceState>> {
  if (sequence.position > 0) await log.beginAfter(sequence.position);
  const writer = new LogWriter(log);
  for await (const { candidates, fraction } of abortable(records.batches(), signal)) {
    const updates: PendingUpdate[] = [];
    for (const candidate of candidates) sequence.take(candidate, updates);
    await writer.write(updates);
    onProgress?.({ position: sequence.recorded, fraction: sequence.ended ? 1 : fraction });
    if (sequence.ended) break;
  }
  return sequence.states.values();
}

/** The same, that ends with the signal although the one that is waited for may never come. */
async function* abortable<Item>(items: AsyncIterable<Item>, signal: AbortSignal | undefined): AsyncGenerator<Item> {
  const iterator = items[Symbol.asyncIterator]();
  let waiting = true;
  try {
    for (;;) {
      const next = await untilAborted(iterator.next(), signal);
      if (next.done) return;
      waiting = false;
      yield next.value;
      waiting = true;
    }
  } finally {
    const closed = iterator.return?.();
    // While it waits for its next item it cannot be closed; whoever owns the source ends it.
    if (waiting) closed?.catch(() => undefined);
    else await closed;
  }
}

function settingsOf({ formats = RECORD_FORMATS, limits, clock = systemClock, signal }: ReplayOptions): SourceSettings {
  return { formats, limits: { ...DEFAULT_VALUE_LIMITS, ...limits }, clock, signal };
}

function untilOf(until: number | Date | undefined): Until {
  const everything = { position: Number.POSITIVE_INFINITY, at: Number.POSITIVE_INFINITY };
  if (until === undefined) return everything;
  if (until instanceof Date && Number.isFinite(until.getTime())) return { ...everything, at: until.getTime() };
  if (typeof until === 'number' && Number.isSafeInteger(until) && until >= 0) return { ...everything, position: until };
  throw new ContextCacheError('INVALID_OPTION', 'until is a position, an integer from 0, or a Date.');
}

/** For those who are not held to the types. */
function mustBeAlone(options: OpenOptions): void {
  if (options.primaryCache === undefined && options.restoreFrom === undefined) return;
  const message = 'A log can not be replayed into a primary of your own, nor on top of a restored snapshot.';
  throw new ContextCacheError('INVALID_OPTION', message);
}

/** The state that a source begins with is no earlier than it is. */
function mustReach({ base }: RecordSource, { position, at }: Until): void {
  if (base === undefined) return;
  const tooLate = at < Number.POSITIVE_INFINITY && base.states.some((state) => lastInstant(state) > at);
  if (base.position <= position && !tooLate) return;
  const message = `The source no longer has the updates up to position ${base.position}, only the state that they led to. Replay until a later moment.`;
  throw new ContextCacheError('POSITION_UNAVAILABLE', message);
}

function lastInstant(state: NamespaceState): number {
  let last = 0;
  for (const { updatedAt } of state.entries.values()) last = Math.max(last, updatedAt);
  return last;
}
