import type { Clock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { optionNames } from '../core/options.ts';
import type { Report } from '../core/report.ts';
import { checkBounds, isBounded, type Retained, type RetentionBounds } from './retained.ts';
import type { UpdateLog } from './update-log.ts';

/** Options of a compaction: which updates to keep, and which followers to give up. */
export interface CompactOptions extends RetentionBounds {
  /** Followers that are not running and need nothing any longer. Their checkpoints are discarded. */
  readonly forget?: readonly string[] | undefined;
  /** Stops the compaction. Updates released before that stay released. */
  readonly signal?: AbortSignal | undefined;
}

const COMPACT_OPTIONS = optionNames<CompactOptions>('compact', {
  keepUpdates: true,
  keepMs: true,
  keepBytes: true,
  forget: true,
  signal: true,
});

/** Result of a compaction. */
export interface CompactReport {
  /** Oldest position that the log still holds. */
  readonly first: number;
  /** Number of updates that the log has released. */
  readonly removed: number;
  /**
   * The holder that needs more than the bounds keep: `follower mirror`, `follower broadcaster (not running)`, `the
   * state table`, `a view`. `undefined` if nothing does.
   */
  readonly heldBy: string | undefined;
}

/** State of retention, as `health()` reports it. */
export interface RetentionHealth {
  /** Oldest position whose state is kept. */
  readonly begin: number;
  /** The holder that needs more than the bounds keep; see {@link CompactReport}. */
  readonly heldBy: string | undefined;
  readonly running: boolean;
  /** Message of the last compaction's failure; `undefined` if it succeeded. A failed compaction is retried. */
  readonly lastError: string | undefined;
}

/** Dependencies of {@link Retention}. */
export interface RetentionOptions {
  readonly retained: Retained;
  readonly log: UpdateLog;
  readonly clock: Clock;
  readonly report: Report;
  /** The bounds that the cache was opened with. */
  readonly bounds: RetentionBounds;
  /** Resolves when the state table contains everything that is committed now. */
  readonly caughtUp: (signal: AbortSignal) => Promise<void>;
}

/** A compaction starts by itself when at least this many updates can be released, … */
const ENOUGH_UPDATES = 1024;
/** … and at least this part of what is kept. */
const ENOUGH_PART = 1 / 8;
/** Milliseconds before a compaction that was held back or has failed is tried again. */
const RETRY_MS = 10_000;

/** Releases the past: on request, and, if bounds are set, by itself while the cache is in use. */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #stopping = new AbortController();
  readonly #stopListening: () => void;
  #timer: unknown;
  /** The last compaction; they run one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  #running = 0;
  /** Committed position at which the bounds are checked next. */
  #lookAt = 0;
  #lastError: string | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
    const isOn = isBounded(options.bounds);
    this.#stopListening = isOn ? options.log.onCommit(() => this.#committed()) : () => {};
    if (isOn) this.#look();
  }

  /**
   * Releases what neither the given options nor, if none are given, the bounds of the cache keep.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`, `NOT_FOUND`, `LOG_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `LOG_CORRUPT`,
   *   `TIMED_OUT`, `CLOSED`; or the signal's reason.
   */
  async compact(options: CompactOptions = {}): Promise<CompactReport> {
    const { forget = [], signal, ...given } = COMPACT_OPTIONS.checked(options);
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

  /** Starts no further compaction and waits for the present one, which is aborted. */
  async stop(): Promise<void> {
    this.#stopListening();
    this.#options.clock.clearTimeout(this.#timer);
    this.#stopping.abort(new ContextCacheError('CLOSED', 'The cache is shut down.'));
    await this.#turn;
  }

  /** Returns nothing while the storage is unavailable. */
  #heldBy(bounds: RetentionBounds): string | undefined {
    try {
      return this.#target(bounds).heldBy;
    } catch {
      return undefined;
    }
  }

  /** Returns the position up to which everything can be released, and the holder that prevents more. */
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

  /** Starts a compaction if enough can be released; otherwise schedules the next check for when that may be so. */
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

  /** Schedules the check for when the update at `position` is older than `keepMs`. */
  #lookWhenOld(position: number, keepMs: number): void {
    const { retained, log, clock } = this.#options;
    const instant = retained.instantAt(position);
    if (instant !== undefined) this.#lookAfter(Math.max(1, instant + keepMs - clock.now()));
    else if (position <= log.committed) this.#lookAfter(RETRY_MS);
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

  /** Reports the first of several equal failures in a row. */
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
    'No bound is set. Give keepUpdates, keepMs or keepBytes, or open the cache with log: { keepUpdates, … }.',
  );
}

function notNames(): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', 'forget must be an array of follower names.');
}
