import type { Clock } from '../../core/clock.ts';
import { TimeSlice } from '../../core/time-slice.ts';
import type { Holder, Retained, RetentionBounds } from '../retained.ts';
import type { DurablePast } from './durable-past.ts';
import type { LevelLog } from './log/level-log.ts';
import { PastTrim } from './past/past-trim.ts';
import { PAST_KEYS } from './records/past-records.ts';
import type { StateTable } from './state/state-table.ts';

/** The log and the past of a data directory, as retention works on them. */
export class DurableRetained implements Retained {
  readonly #log: LevelLog;
  readonly #table: StateTable;
  readonly #past: DurablePast;
  readonly #clock: Clock;

  constructor(log: LevelLog, table: StateTable, past: DurablePast, clock: Clock) {
    this.#log = log;
    this.#table = table;
    this.#past = past;
    this.#clock = clock;
  }

  get begin(): number {
    return this.#table.since;
  }

  limit({ keepUpdates, keepMs, keepBytes }: RetentionBounds, now: number): number {
    const { begins, since, past } = this.#table;
    const gone = since - begins;
    const limits = [since];
    if (keepUpdates !== undefined) limits.push(this.#log.committed - keepUpdates);
    if (keepMs !== undefined) limits.push(begins + past.times.countUntil(now - keepMs, gone));
    if (keepBytes !== undefined) limits.push(begins + past.times.countBeyond(keepBytes, gone));
    return Math.max(...limits);
  }

  instantAt(position: number): number | undefined {
    const { begins, checkpoint, past } = this.#table;
    if (position > this.#log.committed) return undefined;
    if (position <= checkpoint) return past.times.upTo(position - begins - 1).at;
    return this.#log.recent(checkpoint + 1, position).reduce((latest, { at }) => Math.max(latest, at), 0);
  }

  *holders(): Generator<Holder> {
    yield { name: 'the state table', position: this.#table.checkpoint };
    for (const { name, checkpoint, registered } of this.#log.checkpoints()) {
      yield { name: `follower ${name}${registered ? '' : ' (not running)'}`, position: checkpoint };
    }
    const { pinned } = this.#past;
    if (pinned !== undefined) yield { name: 'a view', position: pinned };
  }

  /** Makes the old positions unreadable first, then removes them from the log, and from the past. */
  async trim(position: number, wholly: boolean, signal: AbortSignal): Promise<void> {
    await this.#table.raiseSince(position);
    await this.#log.trim(position, signal);
    const { directory } = this.#log;
    await new PastTrim(directory, this.#table, position, new TimeSlice(this.#clock, signal)).run();
    signal.throwIfAborted();
    // Removed records lie between kept ones and a compaction rewrites both, so it is done only on request. LevelDB
    // compacts these records often enough by itself.
    if (wholly) await directory.compact(PAST_KEYS);
  }
}
