import { ContextCacheError, toError } from '../core/errors.ts';
import { checkName } from '../core/names.ts';
import type { NamesOf } from '../core/options.ts';
import type { Report } from '../core/report.ts';
import type { Update } from '../core/update.ts';
import type { UpdateLog } from '../storage/update-log.ts';

/** Selects updates. */
export interface WatchFilter {
  /** One namespace, or several. Default: all. */
  readonly namespace?: string | readonly string[] | undefined;
  /** Keys. Updates that clear a namespace are always included. Default: all keys. */
  readonly keys?: readonly string[] | undefined;
}

/** Names of {@link WatchFilter}. */
export const FILTER_NAMES = { namespace: true, keys: true } as const satisfies NamesOf<WatchFilter>;

/**
 * Checks the names in a filter, before any watcher is registered under them.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 */
export function checkFilter({ namespace = [], keys = [] }: WatchFilter): void {
  if (!Array.isArray(keys)) throw new ContextCacheError('INVALID_OPTION', 'keys must be an array of keys.');
  for (const name of [namespace].flat()) checkName('namespace', name);
  for (const key of keys) checkName('key', key);
}

type Offer = (update: Update) => void;

/** Watchers of one namespace, or of all: those of every key, and those of some keys. */
interface Watched {
  readonly all: Set<Offer>;
  readonly byKey: Map<string, Set<Offer>>;
}

/**
 * Passes committed updates to the watchers. The cost of an update grows with the watchers that match it, not with all.
 */
export class WatchHub {
  readonly #anywhere: Watched = { all: new Set(), byKey: new Map() };
  readonly #byNamespace = new Map<string, Watched>();
  readonly #report: Report;
  readonly #log: UpdateLog;
  #stopListening: (() => void) | undefined;
  #count = 0;
  readonly #onClose = new Set<() => void>();
  #closed = false;

  constructor(log: UpdateLog, report: Report) {
    this.#log = log;
    this.#report = report;
  }

  get size(): number {
    return this.#count;
  }

  /**
   * Calls `offer` with each matching update from now on. Returns a function that stops it.
   *
   * @throws {ContextCacheError} the errors of {@link checkFilter}.
   */
  add(filter: WatchFilter, offer: Offer): () => void {
    checkFilter(filter);
    // Each watcher needs its own function, because one listener may watch twice.
    const own: Offer = (update) => offer(update);
    const sets = this.#setsOf(filter);
    for (const set of sets) set.add(own);
    this.#count += 1;
    this.#stopListening ??= this.#log.onCommit((updates) => this.#publish(updates));
    let stopped = false;
    return () => {
      if (stopped) return;
      stopped = true;
      for (const set of sets) set.delete(own);
      this.#prune(filter);
      this.#count -= 1;
      if (this.#count > 0) return;
      this.#stopListening?.();
      this.#stopListening = undefined;
    };
  }

  /** Calls back when the cache closes, or at once if it is closed. Returns a function that removes the listener. */
  onClose(listener: () => void): () => void {
    if (this.#closed) listener();
    else this.#onClose.add(listener);
    return () => this.#onClose.delete(listener);
  }

  /** Ends all watching. */
  close(): void {
    this.#closed = true;
    for (const listener of this.#onClose) listener();
    this.#onClose.clear();
    this.#stopListening?.();
  }

  #setsOf(filter: WatchFilter): Set<Offer>[] {
    const { namespace, keys } = filter;
    const watched = namespace === undefined ? [this.#anywhere] : [namespace].flat().map((name) => this.#watched(name));
    return watched.flatMap((each) => (keys === undefined ? [each.all] : keys.map((key) => ofKey(each, key))));
  }

  #watched(name: string): Watched {
    let watched = this.#byNamespace.get(name);
    if (watched === undefined) {
      watched = { all: new Set(), byKey: new Map() };
      this.#byNamespace.set(name, watched);
    }
    return watched;
  }

  #prune({ namespace, keys = [] }: WatchFilter): void {
    if (namespace === undefined) forgetKeys(this.#anywhere, keys);
    for (const name of [namespace ?? []].flat()) {
      const watched = this.#byNamespace.get(name);
      if (watched === undefined) continue;
      forgetKeys(watched, keys);
      if (watched.all.size === 0 && watched.byKey.size === 0) this.#byNamespace.delete(name);
    }
  }

  #publish(updates: readonly Update[]): void {
    for (const update of updates) {
      this.#tell(this.#anywhere, update);
      const watched = this.#byNamespace.get(update.namespace);
      if (watched !== undefined) this.#tell(watched, update);
    }
  }

  #tell({ all, byKey }: Watched, update: Update): void {
    for (const offer of all) this.#offer(offer, update);
    if (byKey.size === 0) return;
    const some =
      update.key === null ? new Set([...byKey.values()].flatMap((offers) => [...offers])) : byKey.get(update.key);
    for (const offer of some ?? []) this.#offer(offer, update);
  }

  /** Reports an error that a listener throws, so that it does not reach the others. */
  #offer(offer: Offer, update: Update): void {
    try {
      offer(update);
    } catch (error) {
      this.#report(toError(error), { source: 'watch', namespace: update.namespace });
    }
  }
}

function ofKey(watched: Watched, key: string): Set<Offer> {
  let some = watched.byKey.get(key);
  if (some === undefined) {
    some = new Set();
    watched.byKey.set(key, some);
  }
  return some;
}

function forgetKeys({ byKey }: Watched, keys: readonly string[]): void {
  for (const key of keys) if (byKey.get(key)?.size === 0) byKey.delete(key);
}
