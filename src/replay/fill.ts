import { systemClock } from '../core/clock.ts';
import { untilAborted } from '../core/deadline.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import type { PendingUpdate } from '../core/update.ts';
import { DEFAULT_VALUE_LIMITS } from '../core/value.ts';
import type { CacheOptions } from '../engine/options.ts';
import { openSource } from './open-source.ts';
import { ReplayRefusedError } from './problem.ts';
import type { ReplayReport } from './report.ts';
import { Sequence, type Until } from './sequence.ts';
import type { RecordSource, ReplayBase, ReplaySource, SourceSettings } from './source.ts';

/** How far a replay has come. */
export interface ReplayProgress {
  /** Recorded position of the last update taken. */
  readonly position: number;
  /** How much of the source has been read, from 0 to 1; `undefined` where that cannot be known. */
  readonly fraction: number | undefined;
}

/** How a log is read. */
export interface FillOptions extends Pick<CacheOptions, 'clock' | 'limits'> {
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
}

/** Where a replay goes. */
export interface ReplayTarget {
  /** The state it begins with; called at most once, first. */
  begin(base: ReplayBase): Promise<void>;
  /** Notes the id of the log that is replayed; called after {@link begin}, if the source has an id. */
  continues(log: string): Promise<void>;
  /** The next updates, which have their positions; some at a time. */
  write(updates: readonly PendingUpdate[]): Promise<void>;
  /** That was all; it comes to these namespaces. */
  finish(states: Iterable<NamespaceState>): Promise<void>;
}

/** Replays the source into the target, after a state where one is given. The source is closed again. */
export async function fill(
  source: ReplaySource,
  target: ReplayTarget,
  options: FillOptions,
  given?: ReplayBase,
): Promise<ReplayReport> {
  const until = untilOf(options.until);
  options.signal?.throwIfAborted();
  await using records = await openSource(source, settingsOf(options, given !== undefined));
  mustBelong(records, given);
  const base = given ?? records.base;
  mustReach(base, until);
  const repeats = () => records.repeats;
  const sequence = new Sequence({ base, repeats, until, repair: options.repair ?? false });
  if (base !== undefined) await target.begin(base);
  const log = records.log ?? base?.log;
  if (log !== undefined) await target.continues(log);
  await writeAll(records, sequence, target, options);
  await target.finish(sequence.states.values());
  return sequence.report();
}

async function writeAll(
  records: RecordSource,
  sequence: Sequence,
  target: ReplayTarget,
  { signal, onProgress }: FillOptions,
): Promise<void> {
  for await (const { candidates, fraction } of abortable(records.batches(), signal)) {
    const updates: PendingUpdate[] = [];
    for (const candidate of candidates) sequence.take(candidate, updates);
    await target.write(updates);
    onProgress?.({ position: sequence.recorded, fraction: sequence.ended ? 1 : fraction });
    if (sequence.ended) break;
  }
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

function settingsOf({ limits, clock = systemClock, signal }: FillOptions, updatesOnly: boolean): SourceSettings {
  return { limits: { ...DEFAULT_VALUE_LIMITS, ...limits }, clock, signal, updatesOnly };
}

function untilOf(until: number | Date | undefined): Until {
  const everything = { position: Number.POSITIVE_INFINITY, at: Number.POSITIVE_INFINITY };
  if (until === undefined) return everything;
  if (until instanceof Date && Number.isFinite(until.getTime())) return { ...everything, at: until.getTime() };
  if (typeof until === 'number' && Number.isSafeInteger(until) && until >= 0) return { ...everything, position: until };
  throw new ContextCacheError('INVALID_OPTION', 'until is a position, an integer from 0, or a Date.');
}

/** A snapshot and the log of another cache make no state. */
function mustBelong({ log }: RecordSource, given: ReplayBase | undefined): void {
  if (log === undefined || given?.log === undefined || given.log === log) return;
  const reason = 'The log is not the one that the snapshot was taken of.';
  throw new ReplayRefusedError({ kind: 'foreign', position: given.position, reason });
}

/** The state that a replay begins with is no earlier than it is. */
function mustReach(base: ReplayBase | undefined, { position, at }: Until): void {
  if (base === undefined) return;
  const tooLate = at < Number.POSITIVE_INFINITY && base.states.some((state) => lastInstant(state) > at);
  if (base.position <= position && !tooLate) return;
  const message = `The source no longer has the updates up to position ${base.position}, only the state that they led to. Replay until a later moment.`;
  throw new ContextCacheError('POSITION_UNAVAILABLE', message);
}

function lastInstant(state: NamespaceState): number {
  let last = 0;
  for (const [, { updatedAt }] of state.entries) last = Math.max(last, updatedAt);
  return last;
}
