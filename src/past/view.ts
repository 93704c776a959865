import { publicEntry } from '../core/decide.ts';
import { ContextCacheError } from '../core/errors.ts';
import { checkName, DEFAULT_NAMESPACE } from '../core/names.ts';
import { type NamespaceName, nameOf } from '../core/namespace-parts.ts';
import { type Entry, type EntryRecord, NamespaceState } from '../core/namespace-state.ts';
import type {
  AnyNamespaces,
  DefaultNamespace,
  KeyArgument,
  KeyOf,
  NamespaceArgument,
  NamespaceOf,
  NamespaceTypes,
  ValueOf,
} from '../core/namespace-types.ts';
import { openedEntry, openedValue } from '../core/opened.ts';
import { type NamespaceRangeOptions, type Range, type RangeOptions, rangeOf } from '../core/range.ts';
import { mayBeSealed, type SubjectDoor } from '../core/sealed.ts';
import { NameOrder, taken } from '../core/tables/name-order.ts';
import type { JsonValue } from '../core/value.ts';
import type { Access } from '../engine/access.ts';
import type { StateView } from '../storage/past-source.ts';
import { StateCache } from '../storage/state-cache.ts';

/** The agent for which a view is, and the judge of what it may read. */
export interface ViewReader {
  readonly agent: string;
  readonly access: Access;
}

/** Reads the private state of a view; set by the class. */
let stateOf: (view: CacheView) => StateView;
let subjectsIn: (view: CacheView) => SubjectDoor;

/**
 * A view of all namespaces of a cache at {@link CacheView.position}. Reads answer at once, as those of the cache do. A
 * view never changes and never blocks writers. It shows what the log says: an entry that was past its expiry but not yet
 * removed at that position is still in it.
 *
 * With a data directory, reads throw `LOG_UNAVAILABLE` while the directory is reopened after a failure, `LOG_CORRUPT` if
 * it is damaged, and `CLOSED` after the cache is shut down.
 *
 * @example
 * ```ts
 * using before = cache.at(position - 1);
 * before.get('plan', 'trip');
 * ```
 */
export class CacheView<S extends NamespaceTypes<S> = AnyNamespaces> {
  /** Position of the last update in the view; 0: the empty cache. */
  readonly position: number;
  readonly #kept = new StateCache();
  readonly #subjects: SubjectDoor;
  /** The names of the namespaces in order, once they were listed. */
  #names: NameOrder | undefined;
  /** `undefined` once the view is disposed. */
  #view: StateView | undefined;
  /** The agent that reads; `undefined`: the owner of the cache, who may read everything. */
  readonly #by: ViewReader | undefined;

  /** @internal */
  constructor(view: StateView, subjects: SubjectDoor, by?: ViewReader) {
    this.#subjects = subjects;
    this.position = view.position;
    this.#view = view;
    this.#by = by;
  }

  static {
    stateOf = (view) => view.#state;
    subjectsIn = (view) => view.#subjects;
  }

  /** Returns the value, deeply frozen; `undefined` if the key is missing. */
  get<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): ValueOf<S, N, K> | undefined;
  get(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): unknown {
    checkName('key', key);
    const name = nameOf(namespace);
    this.#mustRead(name, key);
    return this.#value(name, key);
  }

  /** Returns the values of several keys, in their order; `undefined` for each missing key. */
  getMany<const K extends string, const N extends string = DefaultNamespace>(
    keys: readonly KeyArgument<S, N, K>[],
    namespace?: NamespaceArgument<S, N>,
  ): (ValueOf<S, N, K> | undefined)[];
  getMany(keys: readonly string[], namespace: NamespaceName = DEFAULT_NAMESPACE): unknown[] {
    const name = nameOf(namespace);
    for (const key of keys) {
      checkName('key', key);
      this.#mustRead(name, key);
    }
    return keys.map((key) => this.#value(name, key));
  }

  /** Returns whether the key exists. */
  has<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): boolean;
  has(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): boolean {
    checkName('key', key);
    const name = nameOf(namespace);
    this.#mustRead(name, key);
    const { entries } = this.#namespace(name);
    return entries.has(key) && (!mayBeSealed(entries.get(key)?.value) || this.#value(name, key) !== undefined);
  }

  /** Returns the value with its version, instants and agent. */
  entry<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Entry<ValueOf<S, N, K>> | undefined;
  entry(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): unknown {
    checkName('key', key);
    const name = nameOf(namespace);
    this.#mustRead(name, key);
    const entry = this.#namespace(name).entries.get(key);
    return entry && this.#shown(name, key, entry);
  }

  /**
   * Returns all entries of a namespace, in no particular order. With options, even without any in them, yields entries in
   * order of their keys.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
   */
  entries<const N extends string = DefaultNamespace>(
    namespace?: NamespaceArgument<S, N>,
  ): Entry<ValueOf<S, N, KeyOf<S, N>>>[];
  entries<const N extends string = DefaultNamespace>(
    namespace: NamespaceArgument<S, N> | undefined,
    options: RangeOptions,
  ): IterableIterator<Entry<ValueOf<S, N, KeyOf<S, N>>>>;
  entries(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RangeOptions): unknown {
    const name = nameOf(namespace);
    this.#mustReadSome(name);
    if (options !== undefined) return this.#entriesInOrder(name, rangeOf('entries', options));
    const shown = [];
    for (const [key, entry] of this.#namespace(name).entries)
      if (this.#mayRead(name, key)) shown.push(this.#shown(name, key, entry));
    return shown;
  }

  /**
   * Yields the keys of a namespace in order of code point, all or a part. The first such read of a namespace sorts its
   * keys; the view keeps the order with the namespace's state.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
   */
  keys<const N extends string = DefaultNamespace>(
    namespace?: NamespaceArgument<S, N>,
    options?: RangeOptions,
  ): IterableIterator<KeyOf<S, N>>;
  keys(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RangeOptions): IterableIterator<string> {
    const name = nameOf(namespace);
    this.#mustReadSome(name);
    return this.#keysInOrder(name, rangeOf('keys', options));
  }

  /**
   * Returns the keys of a namespace, in no particular order; empty if the namespace did not exist. With options, returns
   * those that {@link keys} yields, in order.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
   */
  listKeys<const N extends string = DefaultNamespace>(
    namespace?: NamespaceArgument<S, N>,
    options?: RangeOptions,
  ): KeyOf<S, N>[];
  listKeys(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RangeOptions): string[] {
    const name = nameOf(namespace);
    this.#mustReadSome(name);
    if (options !== undefined) return [...this.#keysInOrder(name, rangeOf('listKeys', options))];
    const keys = [...this.#namespace(name).entries.keys()];
    return this.#by === undefined ? keys : keys.filter((key) => this.#mayRead(name, key));
  }

  /**
   * Returns the names of the namespaces, sorted by code point, all or a part. `default` is always among them. The view
   * sorts them once.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`.
   */
  listNamespaces(options?: NamespaceRangeOptions): NamespaceOf<S>[] {
    const range = rangeOf('listNamespaces', options);
    const state = this.#state;
    this.#names ??= new NameOrder(new Set([DEFAULT_NAMESPACE, ...state.names()]));
    const by = this.#by;
    if (by === undefined) return [...taken(this.#names, range)] as NamespaceOf<S>[];
    const names = [...taken(this.#names, { ...range, limit: Number.POSITIVE_INFINITY })];
    return names.filter((name) => by.access.maySome(by.agent, 'read', name)).slice(0, range.limit) as NamespaceOf<S>[];
  }

  /**
   * Releases the view. Until then retention keeps its position; afterwards reads throw `CLOSED`. Garbage collection
   * releases it too.
   */
  [Symbol.dispose](): void {
    this.#view?.release?.();
    this.#view = undefined;
    this.#kept.clear();
    this.#names = undefined;
  }

  *#keysInOrder(namespace: string, range: Range): Generator<string, void, undefined> {
    const isWhole = this.#by === undefined;
    let left = range.limit;
    const all = isWhole ? range : { ...range, limit: Number.POSITIVE_INFINITY };
    for (const key of taken(this.#namespace(namespace).order, all)) {
      if (!isWhole) {
        if (left === 0) return;
        if (!this.#mayRead(namespace, key)) continue;
        left -= 1;
      }
      yield key;
      // Throws once the view is disposed.
      this.#state;
    }
  }

  *#entriesInOrder(namespace: string, range: Range): Generator<Entry, void, undefined> {
    const state = this.#namespace(namespace);
    for (const key of this.#keysInOrder(namespace, range)) {
      const entry = state.entries.get(key);
      if (entry !== undefined) yield this.#shown(namespace, key, entry);
    }
  }

  #value(namespace: string, key: string): JsonValue | undefined {
    return openedValue(this.#subjects, namespace, key, this.#namespace(namespace).entries.get(key)?.value);
  }

  #shown(namespace: string, key: string, entry: EntryRecord): Entry {
    return openedEntry(this.#subjects, publicEntry(namespace, key, entry));
  }

  /** @throws {AccessDeniedError} */
  #mustRead(namespace: string, key: string): void {
    this.#by?.access.require(this.#by.agent, 'read', namespace, key);
  }

  /** @throws {AccessDeniedError} */
  #mustReadSome(namespace: string): void {
    this.#by?.access.requireSome(this.#by.agent, 'read', namespace);
  }

  #mayRead(namespace: string, key: string): boolean {
    return this.#by?.access.may(this.#by.agent, 'read', namespace, key) ?? true;
  }

  get #state(): StateView {
    if (this.#view !== undefined) return this.#view;
    throw new ContextCacheError('CLOSED', 'The view has been disposed. Create another with cache.at().');
  }

  #namespace(namespace: string): NamespaceState {
    const kept = this.#kept.get(namespace);
    if (kept !== undefined) return kept;
    checkName('namespace', namespace);
    const state = this.#state.state(namespace) ?? new NamespaceState(namespace);
    this.#kept.keep(state);
    return state;
  }
}

/** Returns a view of the same state for an agent. Only one of the two views must be disposed. */
export function viewFor(view: CacheView, by: ViewReader): CacheView {
  return new CacheView(stateOf(view), subjectsIn(view), by);
}

/** Returns the state that a view shows. */
export function stateViewOf(view: CacheView): StateView {
  return stateOf(view);
}

/** Returns the door that opens values with subjects for readers of a view. */
export function subjectsOfView(view: CacheView): SubjectDoor {
  return subjectsIn(view);
}
