import { stat } from 'node:fs/promises';
import { AgentContextCache } from '../agent-context-cache.ts';
import type { InMemoryContextCache } from '../backends/in-memory-context-cache.ts';
import type { OpenOptions } from '../cache/options.ts';
import { memoryStorage } from '../cache/storage.ts';
import type { AnyNamespaces, NamespaceTypes } from '../cache/types.ts';
import { systemClock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import type { PendingUpdate } from '../core/update.ts';
import { DEFAULT_VALUE_LIMITS } from '../core/value.ts';
import type { UpdateLog } from '../log/update-log.ts';
import { openDirectorySource } from './directory-source.ts';
import { LogWriter } from './log-writer.ts';
import type { ReplayReport } from './report.ts';
import { Sequence, type Until } from './sequence.ts';
import type { RecordSource, ReplayIterable, ReplaySource, SourceSettings, StreamSource } from './source.ts';
import { openStreamSource } from './stream-source.ts';
import { fileSource, iterableSource } from './text-source.ts';
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
  const until = untilOf(options.until);
  options.signal?.throwIfAborted();
  await using records = await openSource(source, settingsOf(options));
  mustReach(records, until);
  const sequence = new Sequence({
    base: records.base,
    repeats: () => records.repeats,
    until,
    repair: options.repair ?? false,
  });
  const run: Run = (log) => writeAll(records, sequence, log, options);
  const { until: _, repair, signal, onProgress, formats, ...open } = options;
  const cache =
    open.dataDir === undefined
      ? await replayInMemory<S>(open, run)
      : await replayIntoDirectory(open.dataDir, options, run).then(() => AgentContextCache.open<S>(open));
  return { cache, report: sequence.report() };
}

/** Fills the log; gives the namespaces that it comes to. */
type Run = (log: UpdateLog) => Promise<Iterable<NamespaceState>>;

async function replayInMemory<S extends NamespaceTypes>(
  open: OpenOptions<InMemoryContextCache>,
  run: Run,
): Promise<AgentContextCache<S>> {
  const storage = memoryStorage(open);
  for (const state of await run(storage.log)) storage.registry.put(state.name, state);
  return new AgentContextCache<S>(open, storage, false);
}

async function replayIntoDirectory(dataDir: string, options: ReplayOptions, run: Run): Promise<void> {
  const { clock = systemClock, sync, signal } = options;
  const { StagedDirectory } = await import('./staging.ts');
  const staged = await StagedDirectory.create(dataDir, { clock, sync });
  try {
    await staged.finish(await run(staged.log), signal);
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
  for await (const { candidates, fraction } of records.batches()) {
    signal?.throwIfAborted();
    const updates: PendingUpdate[] = [];
    for (const candidate of candidates) sequence.take(candidate, updates);
    await writer.write(updates);
    onProgress?.({ position: sequence.recorded, fraction: sequence.ended ? 1 : fraction });
    if (sequence.ended) break;
  }
  await log.flush();
  return sequence.states.values();
}

async function openSource(source: ReplaySource, settings: SourceSettings): Promise<RecordSource> {
  if (typeof source === 'string') return openPath(source, settings);
  if (typeof source === 'object' && source !== null) {
    if (source instanceof Uint8Array) return iterableSource([source], settings);
    if ('natsUrl' in source) return openStreamSource(source as StreamSource, settings);
    if (Symbol.asyncIterator in source || Symbol.iterator in source) {
      return iterableSource(source as ReplayIterable, settings);
    }
  }
  const message = 'A replay reads a path, an iterable of lines or updates, or { natsUrl, stream }.';
  throw new ContextCacheError('INVALID_OPTION', message);
}

async function openPath(path: string, settings: SourceSettings): Promise<RecordSource> {
  const found = await stat(path).catch((cause) => {
    const message = `${path} cannot be read (${cause.code}). Name an exported log, a capture or a data directory.`;
    throw new ContextCacheError('NOT_FOUND', message, { cause });
  });
  return found.isDirectory() ? openDirectorySource(path) : fileSource(path, found.size, settings);
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

/** The state that a source begins with is no earlier than it is. */
function mustReach({ base }: RecordSource, { position, at }: Until): void {
  if (base === undefined) return;
  const newest = Math.max(0, ...Array.from(base.states, lastInstant));
  if (base.position <= position && newest <= at) return;
  const message = `The source no longer has the updates up to position ${base.position}, only the state that they led to. Replay until a later moment.`;
  throw new ContextCacheError('POSITION_UNAVAILABLE', message);
}

function lastInstant(state: NamespaceState): number {
  let last = 0;
  for (const { updatedAt } of state.entries.values()) last = Math.max(last, updatedAt);
  return last;
}
