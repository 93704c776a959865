import { toError } from '../core/errors.ts';
import type { Update } from '../core/update.ts';
import type { UpdateLog } from '../log/update-log.ts';
import type { Report } from './report.ts';

/** Which updates a watcher wants. */
export interface WatchFilter {
  /** Only of this namespace, or these. Default: all. */
  readonly namespace?: string | readonly string[] | undefined;
  /** Only of these keys (and whatever clears the namespace). Default: all. */
  readonly keys?: readonly string[] | undefined;
}

type Offer = (update: Update) => void;

/** Watchers of one namespace: those of all its keys, and those of some. */
interface Watched {
  readonly all: Set<Offer>;
  readonly byKey: Map<string, Set<Offer>>;
}

/**
 * Hands committed updates to whoever watches. What an update costs grows with the watchers it matches, not with all.
 */
export class WatchHub {
  readonly #everything = new Set<Offer>();
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

  /** Calls `offer` with each matching update from now on. Returns how to stop. */
  add(filter: WatchFilter, offer: Offer): () => void {
    const own = ownOffer(filter, offer);
    const places = this.#places(filter);
    for (const place of places) place.add(own);
    this.#count += 1;
    this.#stopListening ??= this.#log.onCommit((updates) => this.#publish(updates));
    let stopped = false;
    return () => {
      if (stopped) return;
      stopped = true;
      for (const place of places) place.delete(own);
      this.#prune(filter);
      this.#count -= 1;
      if (this.#count > 0) return;
      this.#stopListening?.();
      this.#stopListening = undefined;
    };
  }

  /** Calls back when the cache ends; at once where it has. Returns how to take it back. */
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

  #places(filter: WatchFilter): Set<Offer>[] {
    if (filter.namespace === undefined) return [this.#everything];
    return [filter.namespace].flat().flatMap((name) => {
      const watched = this.#watched(name);
      return filter.keys === undefined ? [watched.all] : filter.keys.map((key) => ofKey(watched, key));
    });
  }

  #watched(name: string): Watched {
    let watched = this.#byNamespace.get(name);
    if (watched === undefined) {
      watched = { all: new Set(), byKey: new Map() };
      this.#byNamespace.set(name, watched);
    }
    return watched;
  }

  #prune(filter: WatchFilter): void {
    for (const name of [filter.namespace ?? []].flat()) {
      const watched = this.#byNamespace.get(name);
      if (watched === undefined) continue;
      for (const key of filter.keys ?? []) if (watched.byKey.get(key)?.size === 0) watched.byKey.delete(key);
      if (watched.all.size === 0 && watched.byKey.size === 0) this.#byNamespace.delete(name);
    }
  }

  #publish(updates: readonly Update[]): void {
    for (const update of updates) {
      for (const offer of this.#everything) this.#offer(offer, update);
      const watched = this.#byNamespace.get(update.namespace);
      if (watched === undefined) continue;
      for (const offer of watched.all) this.#offer(offer, update);
      if (update.key !== null) {
        for (const offer of watched.byKey.get(update.key) ?? []) this.#offer(offer, update);
      } else {
        for (const offer of new Set([...watched.byKey.values()].flatMap((some) => [...some])))
          this.#offer(offer, update);
      }
    }
  }

  /** A listener that throws harms nobody else. */
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

/**
 * A function of its own for each watcher, as one listener may watch twice. Keys in any namespace are looked at here:
 * rare enough to spare an index.
 */
function ownOffer(filter: WatchFilter, offer: Offer): Offer {
  if (filter.namespace !== undefined || filter.keys === undefined) return (update) => offer(update);
  const keys = new Set(filter.keys);
  return (update) => {
    if (update.key === null || keys.has(update.key)) offer(update);
  };
}
