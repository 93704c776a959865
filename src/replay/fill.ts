import { systemClock } from '../core/clock.ts';
import { untilAborted } from '../core/deadline.ts';
import { ContextCacheError } from '../core/errors.ts';
import { limitsOf } from '../core/limits.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import type { PendingUpdate } from '../core/update.ts';
import type { CacheOptions } from '../engine/options.ts';
import { JoinedClears } from './joined-clears.ts';
import { openSource } from './open-source.ts';
import { ReplayRefusedError } from './problem.ts';
import type { ReplayReport } from './report.ts';
import { Sequence, type Until } from './sequence.ts';
import type { RecordSource, ReplayBase, ReplaySource, SourceSettings } from './source.ts';

/** Progress of a replay. */
export interface ReplayProgress {
  /** Recorded position of the last update taken. */
  readonly position: number;
  /** Part of the source that has been read, from 0 to 1; `undefined` if it cannot be known. */
  readonly fraction: number | undefined;
}

/** Options for reading a log. */
export interface FillOptions extends Pick<CacheOptions, 'clock' | 'limits'> {
  /**
   * The end of the replay: a recorded position (its update is the last one), or an instant (the first update after it,
   * and everything that follows that update in the log, is left out). The source is not read beyond it. Default, and
   * beyond the end: the whole log.
   */
  readonly until?: number | Date | undefined;
  /** Uses what can be used of a damaged source; the report says what was left out. Default false. */
  readonly repair?: boolean | undefined;
  /** Cancels the replay with the signal's reason. Nothing is left of it. */
  readonly signal?: AbortSignal | undefined;
  /** Called about every thousand updates. An error that it throws ends the replay. */
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined;
}

/** The destination of a replay. */
export interface ReplayTarget {
  /** Takes the state that the replay starts from. Called first, at most once. */
  begin(base: ReplayBase): Promise<void>;
  /** Notes the id of the log that is replayed. Called after {@link begin}, if the source has an id. */
  continues(log: string): Promise<void>;
  /** Takes the next updates, which have their positions. */
  write(updates: readonly PendingUpdate[]): Promise<void>;
  /** Ends the replay, with the resulting namespaces. */
  finish(states: Iterable<NamespaceState>): Promise<void>;
}

/** Replays the source into the target, after the state in `given` if there is one. Closes the source. */
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
  const clears = new JoinedClears();
  for await (const { candidates, fraction } of abortable(records.batches(), signal)) {
    const updates: PendingUpdate[] = [];
    for (const candidate of candidates) for (const whole of clears.take(candidate)) sequence.take(whole, updates);
    await target.write(updates);
    onProgress?.({ position: sequence.recorded, fraction: sequence.ended ? 1 : fraction });
    if (sequence.ended) return;
  }
  const last: PendingUpdate[] = [];
  for (const whole of clears.end()) sequence.take(whole, last);
  await target.write(last);
}

/** Yields the same items, but ends with the signal even if the awaited item never arrives. */
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
    // An iterator that waits for its next item cannot be closed; the owner of the source ends it.
    if (waiting) closed?.catch(() => undefined);
    else await closed;
  }
}

function settingsOf({ limits, clock = systemClock, signal }: FillOptions, updatesOnly: boolean): SourceSettings {
  return { limits: limitsOf(limits), clock, signal, updatesOnly };
}

function untilOf(until: number | Date | undefined): Until {
  const everything = { position: Number.POSITIVE_INFINITY, at: Number.POSITIVE_INFINITY };
  if (until === undefined) return everything;
  if (until instanceof Date && Number.isFinite(until.getTime())) return { ...everything, at: until.getTime() };
  if (typeof until === 'number' && Number.isSafeInteger(until) && until >= 0) return { ...everything, position: until };
  throw new ContextCacheError('INVALID_OPTION', 'until must be a position (an integer from 0) or a Date.');
}

/** Refuses to combine a snapshot with the log of another cache. */
function mustBelong({ log }: RecordSource, given: ReplayBase | undefined): void {
  if (log === undefined || given?.log === undefined || given.log === log) return;
  const reason = 'The snapshot was taken of another log.';
  throw new ReplayRefusedError({ kind: 'foreign', position: given.position, reason });
}

/** Refuses an end before the state that the replay starts from. */
function mustReach(base: ReplayBase | undefined, { position, at }: Until): void {
  if (base === undefined) return;
  const tooLate = at < Number.POSITIVE_INFINITY && base.states.some((state) => lastInstant(state) > at);
  if (base.position <= position && !tooLate) return;
  const message = `The source no longer has the updates up to position ${base.position}, only the state that they led to. Choose a later end.`;
  throw new ContextCacheError('POSITION_UNAVAILABLE', message);
}

function lastInstant(state: NamespaceState): number {
  let last = 0;
  for (const [, { updatedAt }] of state.entries) last = Math.max(last, updatedAt);
  return last;
}
