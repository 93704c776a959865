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
import type { StateView } from '../storage/past-source.ts';
import { StateCache } from '../storage/state-cache.ts';

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

  /** @internal */
  constructor(view: StateView, subjects: SubjectDoor) {
    this.#subjects = subjects;
    this.position = view.position;
    this.#view = view;
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
    return this.#value(nameOf(namespace), key);
  }

  /** Returns the values of several keys, in their order; `undefined` for each missing key. */
  getMany<const K extends string, const N extends string = DefaultNamespace>(
    keys: readonly KeyArgument<S, N, K>[],
    namespace?: NamespaceArgument<S, N>,
  ): (ValueOf<S, N, K> | undefined)[];
  getMany(keys: readonly string[], namespace: NamespaceName = DEFAULT_NAMESPACE): unknown[] {
    for (const key of keys) checkName('key', key);
    const name = nameOf(namespace);
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
    if (options !== undefined) return this.#entriesInOrder(name, rangeOf('entries', options));
    return Array.from(this.#namespace(name).entries, ([key, entry]) => this.#shown(name, key, entry));
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
    return this.#keysInOrder(nameOf(namespace), rangeOf('keys', options));
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
    if (options !== undefined) return [...this.#keysInOrder(name, rangeOf('listKeys', options))];
    return [...this.#namespace(name).entries.keys()];
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
    return [...taken(this.#names, range)] as NamespaceOf<S>[];
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
    for (const key of taken(this.#namespace(namespace).order, range)) {
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

/** Returns the state that a view shows. */
export function stateViewOf(view: CacheView): StateView {
  return stateOf(view);
}

/** Returns the door that opens values with subjects for readers of a view. */
export function subjectsOfView(view: CacheView): SubjectDoor {
  return subjectsIn(view);
}
