import { withKeys } from '../core/cleared-keys.ts';
import { toError } from '../core/errors.ts';
import type { Report } from '../core/report.ts';
import { PrefixMap } from '../core/tables/prefix-map.ts';
import type { Update } from '../core/update.ts';
import { type PlainFilter, plainFilter, type WatchFilter } from '../core/update-filter.ts';
import type { UpdateLog } from '../storage/update-log.ts';

type Offer = (update: Update) => void;

/** Watchers of one namespace, of those with a prefix, or of all: those of every key, and those of some keys. */
interface Watched {
  readonly all: Set<Offer>;
  readonly byKey: Map<string, Set<Offer>>;
  readonly byPrefix: PrefixMap<Set<Offer>>;
}

/**
 * Passes committed updates to the watchers. The cost of an update grows with the watchers that match it, and with the
 * number of different lengths of the prefixes that are watched; not with the number of watchers.
 */
export class WatchHub {
  readonly #anywhere = newWatched();
  readonly #byNamespace = new Map<string, Watched>();
  readonly #byNamespacePrefix = new PrefixMap<Watched>();
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
   * @throws {ContextCacheError} the errors of {@link plainFilter}.
   */
  add(filter: WatchFilter, offer: Offer): () => void {
    const plain = plainFilter(filter);
    // Each watcher needs its own function, because one listener may watch twice.
    const own: Offer = (update) => offer(update);
    const sets = this.#setsOf(plain);
    for (const set of sets) set.add(own);
    this.#count += 1;
    this.#stopListening ??= this.#log.onCommit((updates) => this.#publish(updates));
    let stopped = false;
    return () => {
      if (stopped) return;
      stopped = true;
      for (const set of sets) set.delete(own);
      this.#prune(plain);
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

  #setsOf({ namespace, namespacePrefix, keys, keyPrefix }: PlainFilter): Set<Offer>[] {
    const watched =
      namespace !== undefined
        ? [namespace].flat().map((name) => found(this.#byNamespace, name, newWatched))
        : [
            namespacePrefix === undefined
              ? this.#anywhere
              : found(this.#byNamespacePrefix, namespacePrefix, newWatched),
          ];
    return watched.flatMap(({ all, byKey, byPrefix }) => {
      if (keys !== undefined) return keys.map((key) => found(byKey, key, () => new Set<Offer>()));
      return [keyPrefix === undefined ? all : found(byPrefix, keyPrefix, () => new Set<Offer>())];
    });
  }

  #prune(filter: PlainFilter): void {
    const { namespace, namespacePrefix } = filter;
    if (namespace === undefined && namespacePrefix === undefined) forgetKeys(this.#anywhere, filter);
    for (const name of [namespace ?? []].flat()) forget(this.#byNamespace, name, filter);
    if (namespacePrefix !== undefined) forget(this.#byNamespacePrefix, namespacePrefix, filter);
  }

  #publish(updates: readonly Update[]): void {
    for (const update of updates) {
      this.#tell(this.#anywhere, update);
      const watched = this.#byNamespace.get(update.namespace);
      if (watched !== undefined) this.#tell(watched, update);
      if (this.#byNamespacePrefix.size > 0)
        this.#byNamespacePrefix.visit(update.namespace, (each) => this.#tell(each, update));
    }
  }

  #tell({ all, byKey, byPrefix }: Watched, update: Update): void {
    const { key } = update;
    for (const offer of all) this.#offer(offer, update);
    if (update.operation === 'clear') {
      this.#tellOfKeys(byKey, byPrefix, update);
      return;
    }
    if (byKey.size > 0) {
      const some = key === null ? new Set([...byKey.values()].flatMap((offers) => [...offers])) : byKey.get(key);
      this.#offerAll(some, update);
    }
    if (byPrefix.size === 0) return;
    if (key === null) for (const offers of byPrefix.values()) this.#offerAll(offers, update);
    else byPrefix.visit(key, (offers) => this.#offerAll(offers, update));
  }

  /** Offers a clear to the watchers of its keys, to each with its own keys alone. */
  #tellOfKeys(byKey: Watched['byKey'], byPrefix: Watched['byPrefix'], clear: Update): void {
    if (byKey.size === 0 && byPrefix.size === 0) return;
    const keysOf = new Map<Offer, string[]>();
    for (const key of clear.keys ?? []) {
      const add = (offers: Iterable<Offer>) => {
        for (const offer of offers) found(keysOf, offer, () => []).push(key);
      };
      add(byKey.get(key) ?? []);
      if (byPrefix.size > 0) byPrefix.visit(key, add);
    }
    for (const [offer, keys] of keysOf) this.#offer(offer, withKeys(clear, keys));
  }

  #offerAll(offers: Iterable<Offer> | undefined, update: Update): void {
    for (const offer of offers ?? []) this.#offer(offer, update);
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

function newWatched(): Watched {
  return { all: new Set(), byKey: new Map(), byPrefix: new PrefixMap() };
}

/** A map that finds watchers by name, or keys by watcher. */
interface Finding<Name, Value> {
  get(name: Name): Value | undefined;
  set(name: Name, value: Value): unknown;
}

/** Returns the value of a name. Creates it if it is missing. */
function found<Name, Value>(map: Finding<Name, Value>, name: Name, create: () => Value): Value {
  let value = map.get(name);
  if (value === undefined) {
    value = create();
    map.set(name, value);
  }
  return value;
}

/** Forgets keys that are no longer watched, and the namespace if nothing of it is. */
function forget(
  map: Pick<Map<string, Watched>, 'get'> & { delete(name: string): unknown },
  name: string,
  filter: PlainFilter,
): void {
  const watched = map.get(name);
  if (watched === undefined) return;
  forgetKeys(watched, filter);
  if (watched.all.size === 0 && watched.byKey.size === 0 && watched.byPrefix.size === 0) map.delete(name);
}

function forgetKeys({ byKey, byPrefix }: Watched, { keys = [], keyPrefix }: PlainFilter): void {
  for (const key of keys) if (byKey.get(key)?.size === 0) byKey.delete(key);
  if (keyPrefix !== undefined && byPrefix.get(keyPrefix)?.size === 0) byPrefix.delete(keyPrefix);
}
