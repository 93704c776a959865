import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../core/clock.ts';
import type { Entry } from '../../core/namespace-state.ts';
import { sortInSlices, TimeSlice } from '../../core/time-slice.ts';
import type { Difference } from '../../past/difference.ts';
import type { DiffItem, DiffPage, ViewDetail } from '../data-protocol.ts';
import type { Inspectable, InspectableView } from '../inspectable.ts';
import { compareNaturally } from './natural-order.ts';
import type { Presenter } from './presenter.ts';
import { SortedNames } from './sorted-names.ts';
import { glob, type UpdatePages } from './update-pages.ts';

/** Views kept for the next request: one for a slider at rest, and two that are compared. */
const KEPT = 3;
/** Unused views are released after this time, milliseconds: a view holds retention back. */
const IDLE_MS = 30_000;

/** Most times of positions kept. */
const MAX_INSTANTS = 2_000;

/** A change between two views, before redaction. */
interface Change {
  readonly change: DiffItem['change'];
  readonly namespace: string;
  readonly key: string;
  readonly before?: Entry;
  readonly after?: Entry;
}

/** A page of a difference. */
export interface DiffQuery {
  readonly a: number;
  readonly b: number;
  /** Patterns; the agent of an entry is its last writer. `undefined`: all. */
  readonly namespace: string | undefined;
  readonly agent: string | undefined;
  /** Number of changes to skip. */
  readonly after: number;
  readonly limit: number;
  readonly signal: AbortSignal;
}

/** A view, and the lists of names read from it. */
class KeptView implements Disposable {
  readonly view: InspectableView;
  readonly #clock: Clock;
  readonly #names = new Map<string, Promise<SortedNames>>();

  constructor(view: InspectableView, clock: Clock) {
    this.view = view;
    this.#clock = clock;
  }

  /** Returns the keys of a namespace, or all namespaces. */
  names(namespace: string | undefined): Promise<SortedNames> {
    const id = namespace === undefined ? '' : `:${namespace}`;
    let names = this.#names.get(id);
    if (names === undefined) {
      names = this.#read(namespace);
      names.catch(() => this.#names.delete(id));
      this.#names.set(id, names);
    }
    return names;
  }

  async #read(namespace: string | undefined): Promise<SortedNames> {
    await nextTurn();
    const names = namespace === undefined ? this.view.listNamespaces() : this.view.listKeys(namespace);
    return new SortedNames(await sortInSlices(names, compareNaturally, new TimeSlice(this.#clock)));
  }

  [Symbol.dispose](): void {
    this.view[Symbol.dispose]();
  }
}

/** Reads views of the past, and keeps the last ones for the next request. */
export class Views {
  readonly #cache: Inspectable;
  readonly #clock: Clock;
  readonly #updates: UpdatePages;
  readonly #presenter: Presenter;
  readonly #views = new Map<number, KeptView>();
  #difference: { readonly id: string; readonly changes: Promise<readonly Change[]> } | undefined;
  /** Times of positions. They never change, and finding one reads a block of the log. */
  readonly #instants = new Map<number, number>();
  #idle: unknown;

  constructor(cache: Inspectable, clock: Clock, updates: UpdatePages, presenter: Presenter) {
    this.#cache = cache;
    this.#clock = clock;
    this.#updates = updates;
    this.#presenter = presenter;
  }

  /** Returns the position of a view. Throws the errors of the cache's `at`. */
  position(at: number | Date): number {
    using view = this.#cache.at(at);
    return view.position;
  }

  /** Returns names in a view: the keys of a namespace, or all namespaces. */
  names(at: number | Date, namespace: string | undefined): Promise<SortedNames> {
    return this.#at(at).names(namespace);
  }

  /** Returns the entry of a key in a view. */
  entry(at: number | Date, namespace: string, key: string): Entry | undefined {
    return this.#at(at).view.entry(key, namespace) as Entry | undefined;
  }

  /** Describes a view; `undefined`: the present. */
  async detail(of: number | Date | undefined): Promise<ViewDetail> {
    const { begin: first, log } = this.#cache.inspection;
    const position = of === undefined ? log.committed : this.position(of);
    const last = log.committed;
    const instants = await Promise.all([position, Math.max(first, 1), last].map((at) => this.#instant(at)));
    const [at = null, firstAt = null, lastAt = null] = instants;
    return { position, at, first, last, firstAt, lastAt };
  }

  /** Returns the times of about `points` positions over the viewable range. Their choice is stable as the log grows. */
  async timeline(points: number, signal: AbortSignal): Promise<{ position: number; at: number }[]> {
    const { begin, log } = this.#cache.inspection;
    const first = Math.max(1, begin, log.first);
    const found: { position: number; at: number }[] = [];
    const slice = new TimeSlice(this.#clock, signal);
    for (const position of spread(first, log.committed, points)) {
      const at = this.#instants.get(position) ?? (await this.#instant(position));
      if (at === null) continue;
      found.push({ position, at });
      if (this.#instants.size >= MAX_INSTANTS) this.#instants.clear();
      this.#instants.set(position, at);
      if (slice.over) await slice.pause();
    }
    return found;
  }

  /** Returns a page of the difference between two positions, sorted by namespace and key. */
  async difference({ a, b, namespace, agent, after, limit, signal }: DiffQuery): Promise<DiffPage> {
    this.#touch();
    const one = namespace?.includes('*') ? undefined : namespace;
    const id = JSON.stringify([a, b, one]);
    if (this.#difference?.id !== id) {
      const changes = this.#changes(a, b, one);
      this.#difference = { id, changes };
      changes.catch(() => {
        if (this.#difference?.id === id) this.#difference = undefined;
      });
    }
    const matches = matching(namespace, agent);
    const changes = (await this.#difference.changes).filter(matches);
    signal.throwIfAborted();
    const counts = { added: 0, changed: 0, removed: 0 };
    for (const { change } of changes) counts[change] += 1;
    const items = changes.slice(after, after + limit).map((change) => this.#item(change));
    return { a, b, ...counts, items, next: after + limit < changes.length ? String(after + limit) : null };
  }

  /** Releases the views and the difference. */
  close(): void {
    this.#clock.clearTimeout(this.#idle);
    for (const view of this.#views.values()) view[Symbol.dispose]();
    this.#views.clear();
    this.#difference = undefined;
  }

  #at(at: number | Date): KeptView {
    this.#touch();
    const position = this.position(at);
    let kept = this.#views.get(position);
    this.#views.delete(position);
    kept ??= new KeptView(this.#cache.at(position), this.#clock);
    this.#views.set(position, kept);
    for (const [oldest, view] of this.#views) {
      if (this.#views.size <= KEPT) break;
      this.#views.delete(oldest);
      view[Symbol.dispose]();
    }
    return kept;
  }

  #touch(): void {
    this.#clock.clearTimeout(this.#idle);
    this.#idle = this.#clock.setTimeout(() => this.close(), IDLE_MS);
    this.#clock.unref?.(this.#idle);
  }

  async #instant(position: number): Promise<number | null> {
    return (await this.#updates.find(position))?.at ?? null;
  }

  async #changes(a: number, b: number, namespace: string | undefined): Promise<readonly Change[]> {
    const difference = await this.#cache.diff(a, b, { namespace });
    const byName = (one: Change, other: Change) =>
      compareNaturally(one.namespace, other.namespace) || compareNaturally(one.key, other.key);
    return sortInSlices(changesOf(difference), byName, new TimeSlice(this.#clock));
  }

  #item({ change, namespace, key, before, after }: Change): DiffItem {
    return {
      ...{ change, namespace, key },
      ...(before === undefined ? {} : { before: this.#presenter.entry(before) }),
      ...(after === undefined ? {} : { after: this.#presenter.entry(after) }),
    };
  }
}

function matching(namespace = '*', agent = '*'): (change: Change) => boolean {
  const [isNamespace, isAgent] = [glob(namespace), glob(agent)];
  return (change) =>
    isNamespace(change.namespace) && (agent === '*' || isAgent((change.after ?? change.before)?.agent ?? ''));
}

/** Yields first, last, and the multiples of a power of two between them: at most `points` in all. */
function* spread(first: number, last: number, points: number): Generator<number> {
  if (first > last) return;
  yield first;
  const step = 2 ** Math.max(0, Math.ceil(Math.log2((last - first) / Math.max(1, points - 1))));
  for (let at = (Math.floor(first / step) + 1) * step; at < last; at += step) yield at;
  if (last > first) yield last;
}

function changesOf({ added, changed, removed }: Difference): Change[] {
  return [
    ...added.map((after): Change => ({ change: 'added', namespace: after.namespace, key: after.key, after })),
    ...changed.map(({ before, after }): Change => {
      const { namespace, key } = after;
      return { change: 'changed', namespace, key, before, after };
    }),
    ...removed.map((before): Change => ({ change: 'removed', namespace: before.namespace, key: before.key, before })),
  ];
}
