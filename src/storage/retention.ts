import type { Clock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import type { Report } from '../core/report.ts';
import { checkBounds, isBounded, type Retained, type RetentionBounds } from './retained.ts';
import type { UpdateLog } from './update-log.ts';

/** What a compaction lets go of. */
export interface CompactOptions extends RetentionBounds {
  /** Followers that are not running, and are not waited for any longer: their checkpoints are removed. */
  readonly forget?: readonly string[] | undefined;
  /** Gives up; what has gone by then has gone. */
  readonly signal?: AbortSignal | undefined;
}

/** What a compaction has done. */
export interface CompactReport {
  /** Oldest position that the log still holds. */
  readonly first: number;
  /** Updates that the log has let go of. */
  readonly removed: number;
  /**
   * For what more is kept than was asked for: `follower mirror`, `follower broadcaster (not running)`, `the state table`,
   * `a view`.
   */
  readonly heldBy: string | undefined;
}

/** How retention is doing. */
export interface RetentionHealth {
  /** Oldest position of which the state is kept. */
  readonly begin: number;
  /** For what more is kept than the bounds ask for; see {@link CompactReport}. */
  readonly heldBy: string | undefined;
  readonly running: boolean;
  /** Why the last compaction failed, if it did; it is tried again. */
  readonly lastError: string | undefined;
}

/** What retention works with. */
export interface RetentionOptions {
  readonly retained: Retained;
  readonly log: UpdateLog;
  readonly clock: Clock;
  readonly report: Report;
  /** What the cache was opened with. */
  readonly bounds: RetentionBounds;
  /** Resolves once the state table has what is committed by now. */
  readonly caughtUp: (signal: AbortSignal) => Promise<void>;
}

/** It begins by itself when so many updates may go, … */
const ENOUGH_UPDATES = 1024;
/** … and this part of what there is. */
const ENOUGH_PART = 1 / 8;
/** What was in the way, or has failed, is tried again after this. */
const RETRY_MS = 10_000;

/** Lets go of the past: when asked, and, where there are bounds, by itself beside the work. */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #stopping = new AbortController();
  readonly #stopListening: () => void;
  #timer: unknown;
  /** The last of the compactions, one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  #running = 0;
  /** The log is looked at again once it is committed to here. */
  #lookAt = 0;
  #lastError: string | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
    const isOn = isBounded(options.bounds);
    this.#stopListening = isOn ? options.log.onCommit(() => this.#committed()) : () => {};
    if (isOn) this.#look();
  }

  /**
   * Lets go of what the options, or else those that the cache was opened with, do not keep.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`, `NOT_FOUND`, `LOG_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `LOG_CORRUPT`,
   *   `TIMED_OUT`, `CLOSED`; or the signal's reason.
   */
  async compact({ forget = [], signal, ...given }: CompactOptions = {}): Promise<CompactReport> {
    const { log, bounds: own, caughtUp } = this.#options;
    checkBounds(given);
    const bounds = isBounded(given) ? given : own;
    if (!isBounded(bounds)) throw nothingToKeep();
    if (!Array.isArray(forget) || forget.some((name) => typeof name !== 'string')) throw notNames();
    const either = signal === undefined ? this.#stopping.signal : AbortSignal.any([signal, this.#stopping.signal]);
    either.throwIfAborted();
    for (const name of forget) await log.forget(name);
    await log.flush();
    await caughtUp(either);
    return this.#inTurn(() => this.#run(bounds, either, true));
  }

  health(): RetentionHealth {
    const { retained, bounds } = this.#options;
    const { begin } = retained;
    return { begin, heldBy: this.#heldBy(bounds), running: this.#running > 0, lastError: this.#lastError };
  }

  /** Nothing begins any more; waits for what is under way, which gives up. */
  async stop(): Promise<void> {
    this.#stopListening();
    this.#options.clock.clearTimeout(this.#timer);
    this.#stopping.abort(new ContextCacheError('CLOSED', 'The cache is shut down.'));
    await this.#turn;
  }

  /** The storage may be away just now. */
  #heldBy(bounds: RetentionBounds): string | undefined {
    try {
      return this.#target(bounds).heldBy;
    } catch {
      return undefined;
    }
  }

  /** How far it may go, and what is in the way of more. */
  #target(bounds: RetentionBounds): { readonly position: number; readonly heldBy: string | undefined } {
    const { retained, clock } = this.#options;
    let position = retained.limit(bounds, clock.now());
    let heldBy: string | undefined;
    for (const holder of retained.holders()) {
      if (holder.position >= position) continue;
      position = holder.position;
      heldBy = holder.name;
    }
    return { position: Math.max(position, retained.begin), heldBy };
  }

  #committed(): void {
    if (this.#running === 0 && this.#options.log.committed >= this.#lookAt) this.#look();
  }

  /** Begins where enough may go; else sees to it that it is looked at again when that may be so. */
  #look(): void {
    const { retained, log, bounds, clock } = this.#options;
    clock.clearTimeout(this.#timer);
    if (this.#stopping.signal.aborted) return;
    const { begin } = retained;
    const enough = Math.max(ENOUGH_UPDATES, Math.floor((log.committed - begin) * ENOUGH_PART));
    this.#lookAt = log.committed + Math.ceil(enough / 8);
    try {
      const { position } = this.#target(bounds);
      if (position - begin >= enough) void this.#begin();
      else if (retained.limit(bounds, clock.now()) - begin >= enough) this.#lookAfter(RETRY_MS);
      else if (bounds.keepMs !== undefined) this.#lookWhenOld(begin + enough, bounds.keepMs);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Enough may go when the update at `position` has become so old. */
  #lookWhenOld(position: number, keepMs: number): void {
    const { retained, clock } = this.#options;
    const instant = retained.instantAt(position);
    if (instant !== undefined) this.#lookAfter(Math.max(1, instant + keepMs - clock.now()));
  }

  #lookAfter(delayMs: number): void {
    const { clock } = this.#options;
    this.#timer = clock.setTimeout(() => {
      if (this.#running === 0) this.#look();
    }, delayMs);
    clock.unref?.(this.#timer);
  }

  async #begin(): Promise<void> {
    try {
      await this.#inTurn(() => this.#run(this.#options.bounds, this.#stopping.signal, false));
      this.#lastError = undefined;
      this.#look();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** The first of the same failures in a row is told. */
  #failed(thrown: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const error = toError(thrown);
    if (this.#lastError !== error.message) this.#options.report(error, { source: 'retention' });
    this.#lastError = error.message;
    this.#lookAfter(RETRY_MS);
  }

  async #run(bounds: RetentionBounds, signal: AbortSignal, wholly: boolean): Promise<CompactReport> {
    signal.throwIfAborted();
    const { retained, log } = this.#options;
    const before = log.first;
    const { position, heldBy } = this.#target(bounds);
    await retained.trim(position, wholly, signal);
    return { first: log.first, removed: log.first - before, heldBy };
  }

  #inTurn<Result>(task: () => Promise<Result>): Promise<Result> {
    this.#running += 1;
    const turn = this.#turn.then(task).finally(() => {
      this.#running -= 1;
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

function nothingToKeep(): ContextCacheError {
  return new ContextCacheError(
    'INVALID_OPTION',
    'Nothing says what to keep. Give keepUpdates, keepMs or keepBytes, or open the cache with log: { keepUpdates, … }.',
  );
}

function notNames(): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', 'forget must be an array of names of followers.');
}
