import { join } from 'node:path';
import { type Clock, systemClock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { TimeSlice } from '../../core/time-slice.ts';
import type { Holder, Retained, RetentionBounds } from '../retained.ts';
import { writeBase } from './base/base-file.ts';
import type { DurablePast } from './durable-past.ts';
import type { DiskIndex } from './index/disk-index.ts';
import type { StateTable } from './index/state/state-table.ts';
import type { DiskLog } from './log/disk-log.ts';
import type { BaseNamespace } from './log/logged-update.ts';

/** Number of updates that are read from the log at a time, where the index does not answer. */
const READ = 4096;
/** Instants of this many updates behind the index are read from the log: about as many as an index that follows trails it by. */
const MOST_BEHIND = 65_536;

/** The log and the past of a data directory, as retention works on them. */
export class DurableRetained implements Retained {
  readonly #log: DiskLog;
  readonly #index: DiskIndex;
  readonly #table: StateTable;
  readonly #past: DurablePast;
  readonly #clock: Clock;

  constructor(log: DiskLog, index: DiskIndex, past: DurablePast, clock: Clock = systemClock) {
    this.#log = log;
    this.#index = index;
    this.#table = index.table;
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
    // While the index cannot answer, nothing is released for its age or size.
    const limitBy = (count: () => number) =>
      limits.push(
        this.#table.readOr(
          () => begins + count(),
          () => since,
        ),
      );
    if (keepUpdates !== undefined) limits.push(this.#log.committed - keepUpdates);
    if (keepMs !== undefined) limitBy(() => past.times.countUntil(now - keepMs, gone));
    if (keepBytes !== undefined) limitBy(() => past.times.countBeyond(keepBytes, gone));
    return Math.max(...limits);
  }

  instantAt(position: number): number | undefined {
    const { begins, checkpoint, isReadable, past } = this.#table;
    if (position > this.#log.committed || !isReadable) return undefined;
    if (position > checkpoint) {
      return position - checkpoint > MOST_BEHIND ? undefined : this.#latest(checkpoint, position);
    }
    return this.#table.readOr<number | undefined>(
      () => past.times.upTo(position - begins - 1).at,
      () => undefined,
    );
  }

  *holders(): Generator<Holder> {
    yield { name: 'the index', position: this.#table.checkpoint };
    for (const { name, checkpoint, registered } of this.#log.checkpoints()) {
      yield { name: `follower ${name}${registered ? '' : ' (not running)'}`, position: checkpoint };
    }
    const { pinned } = this.#past;
    if (pinned !== undefined) yield { name: 'a view', position: pinned };
  }

  /**
   * Makes the old positions unreadable first. Files of the log are removed only when that frees enough to pay for a base
   * file, or if `wholly` is true: the index then stops referring to them, and the base takes their place. Waits for the
   * readers of the files.
   */
  async trim(position: number, wholly: boolean, signal: AbortSignal): Promise<void> {
    const log = this.#log;
    const index = this.#index;
    const { generation } = this.#table;
    await index.raiseSince(position);
    await log.trim(position, signal);
    if (!wholly && !(await log.releasable(position))) return;
    await index.trim(position, wholly);
    signal.throwIfAborted();
    // The base must not be ahead of the log after a power cut, also if the log does not wait for the disk.
    await log.sync();
    const namespaces = this.#namespaces(position, generation, signal);
    await writeBase(log.files, join(log.path, 'base'), { log: log.id, position }, namespaces);
    await log.holds.free(signal);
    await log.release(position, wholly);
  }

  /**
   * Iterates over the namespaces at a position, as the index has them.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE` once the index cannot be read or is no longer of this generation. Base and log would
   *   then be read once for each namespace, synchronously.
   */
  async *#namespaces(position: number, generation: number, signal: AbortSignal): AsyncGenerator<BaseNamespace> {
    this.#assertIndexed(generation);
    const view = this.#past.at(position);
    const slice = new TimeSlice(this.#clock, signal);
    try {
      for (const name of [...view.names()]) {
        this.#assertIndexed(generation);
        const state = view.state(name);
        if (state === undefined) continue;
        yield { name, version: state.version, position: state.position, entries: state.entries };
        if (slice.over) await slice.pause();
      }
    } finally {
      view.release?.();
    }
  }

  #assertIndexed(generation: number): void {
    if (this.#table.isReadable && this.#table.generation === generation) return;
    throw new ContextCacheError(
      'LOG_UNAVAILABLE',
      `The index in ${this.#log.dataDir} is being opened again or rebuilt, so the past cannot be released yet. Try again later.`,
    );
  }

  /** Returns the latest instant of the updates after `since` and up to `position`. */
  #latest(since: number, position: number): number {
    let latest = 0;
    for (let from = since + 1; from <= position; from += READ) {
      for (const { at } of this.#log.recent(from, Math.min(position, from + READ - 1))) latest = Math.max(latest, at);
    }
    return latest;
  }
}
