import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { checkName } from '../core/names.ts';
import { optionNames } from '../core/options.ts';
import { TimeSlice } from '../core/time-slice.ts';
import type { Operation, Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { PastSource, StateView } from '../storage/past-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import { DIFF_OPTIONS, type Difference, type DifferenceOptions, differences, release, shownBy } from './difference.ts';
import { CacheView } from './view.ts';

/** A moment: a position of the log, an instant, a view, or a cache as it is now. */
export type PositionOrDate = number | Date | Disposable | AsyncDisposable;

/** What an update made of an entry. */
export interface EntryVersion<Value = JsonValue> {
  readonly operation: Operation;
  /** What the entry held from then on; `undefined` where there was none any more. */
  readonly value: Value | undefined;
  /** Version of the namespace, and of the entry where there still was one. */
  readonly version: number;
  readonly position: number;
  /** When it was asked for, epoch milliseconds. */
  readonly at: number;
  readonly agent: string | null;
  /** When the entry was to expire from then on, epoch milliseconds. */
  readonly expiresAt: number | null;
}

/** Where a predicate begins to fail. */
export interface Culprit {
  readonly position: number;
  /** The update there; `undefined` where the predicate is false at the beginning already. */
  readonly update: Update | undefined;
  /** How many views it took. */
  readonly views: number;
}

/** Where to look. */
export interface BisectOptions {
  /** First position to look at. Default: the oldest that can be seen; 0 is the empty cache. */
  readonly from?: number | Date | undefined;
  /** Last position to look at. Default: the present. */
  readonly to?: number | Date | undefined;
  readonly signal?: AbortSignal | undefined;
}

const BISECT_OPTIONS = optionNames<BisectOptions>('bisect', { from: true, to: true, signal: true });

/** Answers questions about the past. */
export class History {
  readonly #past: PastSource;
  readonly #log: UpdateLog;
  readonly #clock: Clock;

  constructor(past: PastSource, log: UpdateLog, clock: Clock) {
    this.#past = past;
    this.#log = log;
    this.#clock = clock;
  }

  at(moment: number | Date): CacheView {
    return new CacheView(this.moment(moment));
  }

  /** Newest first. */
  async *versions(key: string, namespace: string): AsyncGenerator<EntryVersion, void, undefined> {
    checkName('key', key);
    checkName('namespace', namespace);
    const slice = new TimeSlice(this.#clock);
    const touches: Update[] = [];
    // A clear ended the entry where the update before it left one.
    let clear: Update | undefined;
    let begin = this.#past.first;
    for (const update of this.#past.backwards(namespace)) {
      if (slice.over) await slice.pause();
      begin = update.position - 1;
      if (update.key === null) clear = update;
      if (update.key !== key) continue;
      const { operation, value } = update;
      const isThere = operation === 'set' || operation === 'touch';
      if (clear !== undefined && isThere) yield versionOf(clear, undefined);
      clear = undefined;
      if (operation === 'touch') {
        touches.push(update);
        continue;
      }
      for (const touch of touches.splice(0)) yield versionOf(touch, value);
      yield versionOf(update, isThere ? value : undefined);
    }
    // It may have been there before the past begins: a restored snapshot had it, or its beginning has been let go of.
    if (begin < this.#past.first || (clear === undefined && touches.length === 0)) return;
    const moment = this.#past.at(begin);
    const before = moment.state(namespace)?.entries.get(key);
    moment.release?.();
    if (before !== undefined && clear !== undefined) yield versionOf(clear, undefined);
    for (const touch of touches) yield versionOf(touch, before?.value);
  }

  async diff(a: PositionOrDate, b: PositionOrDate, options: DifferenceOptions): Promise<Difference> {
    DIFF_OPTIONS.check(options);
    const [before, after] = [this.moment(a), this.moment(b)];
    try {
      return await differences(before, after, options.namespace, this.#clock);
    } finally {
      release(a, before);
      release(b, after);
    }
  }

  async bisect(
    predicate: (view: CacheView) => MaybePromise<boolean>,
    options: BisectOptions,
  ): Promise<Culprit | undefined> {
    const { from = this.#past.first, to = this.#log.head, signal } = BISECT_OPTIONS.checked(options);
    let views = 0;
    const holds = async (position: number) => {
      signal?.throwIfAborted();
      views += 1;
      using view = this.at(position);
      return Boolean(await predicate(view));
    };
    // Nothing from here on may be let go of meanwhile.
    const beginning = this.moment(from);
    try {
      const culprit = await this.#search(holds, beginning.position, this.moment(to).position);
      return culprit && { ...culprit, views };
    } finally {
      release(from, beginning);
    }
  }

  async #search(
    holds: (position: number) => Promise<boolean>,
    first: number,
    last: number,
  ): Promise<Omit<Culprit, 'views'> | undefined> {
    let high = last;
    if (first > high) {
      throw new ContextCacheError('INVALID_OPTION', `Position ${first} comes after ${high}. Exchange them.`);
    }
    if (await holds(high)) return undefined;
    for (let low = first; low < high; ) {
      const middle = Math.floor((low + high) / 2);
      if (await holds(middle)) low = middle + 1;
      else high = middle;
    }
    return { position: high, update: high === first ? undefined : await this.#past.updateAt(high) };
  }

  /** The moment a branch begins with, for that alone; let go of it. Throws as `at` of the cache does. */
  begin(at: number | Date | undefined): StateView {
    if (at !== undefined && typeof at !== 'number' && !(at instanceof Date)) {
      throw new ContextCacheError('INVALID_OPTION', 'A branch begins at a position or a Date.');
    }
    const { head } = this.#log;
    const moment = this.moment(at ?? head);
    return moment.position === head ? this.#past.present() : moment;
  }

  /** A moment to look at; throws as `at` of the cache does. */
  moment(moment: PositionOrDate): StateView {
    if (this.#log.status === 'closed') throw new ContextCacheError('CLOSED', 'The cache is shut down.');
    const shown = shownBy(moment);
    if (shown !== undefined) return shown;
    if (moment instanceof Date && !Number.isNaN(moment.getTime())) {
      return this.#past.at(this.#past.positionAt(moment.getTime()));
    }
    if (typeof moment === 'number' && Number.isInteger(moment) && moment >= 0) return this.#past.at(moment);
    throw new ContextCacheError(
      'INVALID_OPTION',
      'A moment is a position from 0 on, a valid Date, a view, or a cache.',
    );
  }
}

function versionOf(update: Update, value: JsonValue | undefined): EntryVersion {
  const { operation, version, position, at, agent, expiresAt } = update;
  return { operation, value, version, position, at, agent, expiresAt };
}
