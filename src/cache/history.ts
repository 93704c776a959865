import { isDeepStrictEqual } from 'node:util';
import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import { publicEntry } from '../core/decide.ts';
import { ContextCacheError } from '../core/errors.ts';
import { checkName } from '../core/names.ts';
import type { Entry, NamespaceState } from '../core/namespace-state.ts';
import type { Operation, Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { Moment, PastSource } from '../log/past-source.ts';
import { TimeSlice } from '../log/time-slice.ts';
import type { UpdateLog } from '../log/update-log.ts';
import { CacheView, theMoment } from './view.ts';

/** A moment: a position of the log, an instant, or a view. */
export type MomentInTime = number | Date | Disposable;

/** What of a difference. */
export interface DifferenceOptions<Namespace extends string = string> {
  /** Only of this namespace. Default: of all. */
  readonly namespace?: Namespace | undefined;
}

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

/** What is different between two moments, by namespace in the order of their names, and in no particular order in it. */
export interface Difference {
  readonly added: readonly Entry[];
  /** Entries that were there before and after, and not the same: value, version, instants or agent. */
  readonly changed: readonly { readonly before: Entry; readonly after: Entry }[];
  readonly removed: readonly Entry[];
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
    return new CacheView(this.#moment(moment));
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
    // It may have been there before the past begins, as a restored snapshot had it.
    if (begin < this.#past.first || (clear === undefined && touches.length === 0)) return;
    const before = this.#past.at(begin).state(namespace)?.entries.get(key);
    if (before !== undefined && clear !== undefined) yield versionOf(clear, undefined);
    for (const touch of touches) yield versionOf(touch, before?.value);
  }

  async diff(a: MomentInTime, b: MomentInTime, only: string | undefined): Promise<Difference> {
    const [before, after] = [this.#moment(a), this.#moment(b)];
    if (only !== undefined) checkName('namespace', only);
    const names = only === undefined ? new Set([...before.names(), ...after.names()]) : [only];
    const difference = { added: [], changed: [], removed: [] } satisfies Difference;
    const slice = new TimeSlice(this.#clock);
    for (const name of [...names].sort()) {
      if (slice.over) await slice.pause();
      const last = before.lastChange(name);
      if (last !== 0 && last === after.lastChange(name)) continue;
      compare(name, before.state(name), after.state(name), difference);
    }
    return difference;
  }

  async bisect(
    predicate: (view: CacheView) => MaybePromise<boolean>,
    { from = this.#past.first, to = this.#log.head, signal }: BisectOptions,
  ): Promise<Culprit | undefined> {
    let views = 0;
    const holds = async (position: number) => {
      signal?.throwIfAborted();
      views += 1;
      using view = this.at(position);
      return Boolean(await predicate(view));
    };
    const first = this.#moment(from).position;
    let high = this.#moment(to).position;
    if (first > high) {
      throw new ContextCacheError('INVALID_OPTION', `Position ${first} comes after ${high}. Exchange them.`);
    }
    if (await holds(high)) return undefined;
    for (let low = first; low < high; ) {
      const middle = Math.floor((low + high) / 2);
      if (await holds(middle)) low = middle + 1;
      else high = middle;
    }
    return { position: high, update: high === first ? undefined : await this.#updateAt(high), views };
  }

  #moment(moment: MomentInTime): Moment {
    if (this.#log.status === 'closed') throw new ContextCacheError('CLOSED', 'The cache is shut down.');
    if (moment instanceof CacheView) return theMoment(moment);
    if (moment instanceof Date && !Number.isNaN(moment.getTime())) {
      return this.#past.at(this.#past.positionAt(moment.getTime()));
    }
    if (typeof moment === 'number' && Number.isInteger(moment) && moment >= 0) return this.#past.at(moment);
    throw new ContextCacheError('INVALID_OPTION', 'A moment is a position from 0 on, a valid Date, or a view.');
  }

  async #updateAt(position: number): Promise<Update | undefined> {
    await this.#log.whenCommitted(position);
    for await (const [update] of this.#log.read(position, position)) return update;
    return undefined;
  }
}

function versionOf(update: Update, value: JsonValue | undefined): EntryVersion {
  const { operation, version, position, at, agent, expiresAt } = update;
  return { operation, value, version, position, at, agent, expiresAt };
}

interface Found {
  readonly added: Entry[];
  readonly changed: { readonly before: Entry; readonly after: Entry }[];
  readonly removed: Entry[];
}

function compare(
  name: string,
  before: NamespaceState | undefined,
  after: NamespaceState | undefined,
  { added, changed, removed }: Found,
): void {
  for (const [key, entry] of after?.entries ?? []) {
    const earlier = before?.entries.get(key);
    if (earlier === undefined) added.push(publicEntry(name, key, entry));
    else if (!isDeepStrictEqual(earlier, entry)) {
      changed.push({ before: publicEntry(name, key, earlier), after: publicEntry(name, key, entry) });
    }
  }
  for (const [key, entry] of before?.entries ?? []) {
    if (!after?.entries.has(key)) removed.push(publicEntry(name, key, entry));
  }
}
