import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Basis } from '../core/basis.ts';
import type { Clock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { Meta } from '../core/meta.ts';
import { checkName } from '../core/names.ts';
import { openedAs, openedUpdate } from '../core/opened.ts';
import { optionNames } from '../core/options.ts';
import { type RetractionFields, withNotes } from '../core/retraction.ts';
import type { SealedFields, SubjectDoor } from '../core/sealed.ts';
import { TimeSlice } from '../core/time-slice.ts';
import type { Operation, Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { PastSource, StateView } from '../storage/past-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import { type Difference, differences, openedDifference, release, shownBy } from './difference.ts';
import { DIFF_OPTIONS, type DifferenceOptions } from './difference-options.ts';
import { CacheView } from './view.ts';

/** A state to read: by position, by instant, as a view, or the present of a cache. */
export type PositionOrDate = number | Date | Disposable | AsyncDisposable;

/** An entry after one of its updates. */
export interface EntryVersion<Value = JsonValue> extends SealedFields, RetractionFields {
  readonly operation: Operation;
  /** Value after the update; `undefined` if the update removed the entry. */
  readonly value: Value | undefined;
  /** Version of the namespace after the update, and of the entry if it still existed. */
  readonly version: number;
  readonly position: number;
  /** Instant of the command, epoch milliseconds. */
  readonly at: number;
  readonly agent: string | null;
  /** Instant at which the entry was to expire, epoch milliseconds; `null`: never. */
  readonly expiresAt: number | null;
  /** JSON object that the writer attached; absent: none. */
  readonly meta?: Meta | undefined;
  /** Id of the operation; absent: none was given. */
  readonly operationId?: string | undefined;
  /** What the writer had read; absent: not known. */
  readonly basis?: Basis | undefined;
}

/** The first position at which a predicate fails. */
export interface Culprit {
  readonly position: number;
  /** The update at that position; `undefined` if the predicate already fails at the first position. */
  readonly update: Update | undefined;
  /** Number of views that were checked. */
  readonly views: number;
}

/** Range that `bisect` searches. */
export interface BisectOptions {
  /** First position. Default: the oldest that is kept; 0 is the empty cache. */
  readonly from?: number | Date | undefined;
  /** Last position. Default: the present. */
  readonly to?: number | Date | undefined;
  readonly signal?: AbortSignal | undefined;
}

const BISECT_OPTIONS = optionNames<BisectOptions>('bisect', { from: true, to: true, signal: true });

/** Reads the past of a cache: views, versions of an entry, differences, and bisection. */
export class History {
  readonly #past: PastSource;
  readonly #log: UpdateLog;
  readonly #clock: Clock;
  readonly #subjects: SubjectDoor;

  constructor(past: PastSource, log: UpdateLog, clock: Clock, subjects: SubjectDoor) {
    this.#subjects = subjects;
    this.#past = past;
    this.#log = log;
    this.#clock = clock;
  }

  at(when: number | Date): CacheView {
    return new CacheView(this.view(when), this.#subjects);
  }

  /** Yields the versions of an entry, newest first. */
  async *versions(key: string, namespace: string): AsyncGenerator<EntryVersion, void, undefined> {
    for await (const version of this.#stored(key, namespace))
      yield openedAs(this.#subjects, namespace, key, withNotes(version));
  }

  /** Yields the versions as they are stored. */
  async *#stored(key: string, namespace: string): AsyncGenerator<EntryVersion, void, undefined> {
    checkName('key', key);
    checkName('namespace', namespace);
    const slice = new TimeSlice(this.#clock);
    const touches: Update[] = [];
    // A clear removed the entry if the update before it left one.
    let clear: Update | undefined;
    let begin = this.#past.first;
    for (const update of this.#past.backwards(namespace)) {
      if (slice.over) await slice.pause();
      begin = update.position - 1;
      if (update.operation === 'clear_namespace') clear = update;
      if (update.key !== key && !update.keys?.includes(key)) continue;
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
    // The entry may be older than what is kept: from a restored snapshot, or retention discarded its first updates.
    if (begin < this.#past.first || (clear === undefined && touches.length === 0)) return;
    const view = this.#past.at(begin);
    const before = view.state(namespace)?.entries.get(key);
    view.release?.();
    if (before !== undefined && clear !== undefined) yield versionOf(clear, undefined);
    for (const touch of touches) yield versionOf(touch, before?.value);
  }

  async diff(a: PositionOrDate, b: PositionOrDate, options: DifferenceOptions): Promise<Difference> {
    DIFF_OPTIONS.check(options);
    const [before, after] = [this.view(a), this.view(b)];
    try {
      return openedDifference(this.#subjects, await differences(before, after, options.namespace, this.#clock));
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
    // Retention keeps everything after this view until it is released.
    const beginning = this.view(from);
    try {
      const culprit = await this.#search(holds, beginning.position, this.view(to).position);
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
    const update = high === first ? undefined : await this.#past.updateAt(high);
    return { position: high, update: update && openedUpdate(this.#subjects, update) };
  }

  /** Returns the view that a branch starts from; the caller releases it. Throws as `at` of the cache does. */
  begin(at: number | Date | undefined): StateView {
    if (at !== undefined && typeof at !== 'number' && !(at instanceof Date)) {
      throw new ContextCacheError('INVALID_OPTION', 'A branch begins at a position or a Date.');
    }
    const { head } = this.#log;
    const view = this.view(at ?? head);
    return view.position === head ? this.#past.present() : view;
  }

  /** Returns the view that a position, an instant, a view or a cache stands for. Throws as `at` of the cache does. */
  view(when: PositionOrDate): StateView {
    if (this.#log.status === 'closed') throw new ContextCacheError('CLOSED', 'The cache is shut down.');
    const shown = shownBy(when);
    if (shown !== undefined) return shown;
    if (when instanceof Date && !Number.isNaN(when.getTime())) {
      return this.#past.at(this.#past.positionAt(when.getTime()));
    }
    if (typeof when === 'number' && Number.isInteger(when) && when >= 0) return this.#past.at(when);
    throw new ContextCacheError('INVALID_OPTION', 'Give a position from 0, a valid Date, a view, or a cache.');
  }
}

function versionOf(update: Update, value: JsonValue | undefined): EntryVersion {
  const { operation, version, position, at, agent, expiresAt, meta, operationId, basis } = update;
  const origin = {
    ...(meta !== undefined && { meta }),
    ...(operationId !== undefined && { operationId }),
    ...(basis !== undefined && { basis }),
  };
  return { operation, value, version, position, at, agent, expiresAt, ...origin };
}
