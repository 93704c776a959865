import { publicEntry } from '../core/decide.ts';
import { ContextCacheError } from '../core/errors.ts';
import { checkName, compareNames, DEFAULT_NAMESPACE } from '../core/names.ts';
import { type Entry, NamespaceState } from '../core/namespace-state.ts';
import type {
  AnyNamespaces,
  DefaultNamespace,
  KeyArgument,
  KeyOf,
  NameArgument,
  NamespaceOf,
  NamespaceTypes,
  ValueOf,
} from '../core/namespace-types.ts';
import type { StateView } from '../storage/past-source.ts';
import { StateCache } from '../storage/state-cache.ts';

/** Reads the private state of a view; set by the class. */
let stateOf: (view: CacheView) => StateView;

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
  /** `undefined` once the view is disposed. */
  #view: StateView | undefined;

  /** @internal */
  constructor(view: StateView) {
    this.position = view.position;
    this.#view = view;
  }

  static {
    stateOf = (view) => view.#state;
  }

  /** Returns the value, deeply frozen; `undefined` if the key is missing. */
  get<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NameArgument<S, N>,
  ): ValueOf<S, N, K> | undefined;
  get(key: string, namespace: string = DEFAULT_NAMESPACE): unknown {
    checkName('key', key);
    return this.#namespace(namespace).entries.get(key)?.value;
  }

  /** Returns the values of several keys, in their order; `undefined` for each missing key. */
  getMany<const K extends string, const N extends string = DefaultNamespace>(
    keys: readonly KeyArgument<S, N, K>[],
    namespace?: NameArgument<S, N>,
  ): (ValueOf<S, N, K> | undefined)[];
  getMany(keys: readonly string[], namespace: string = DEFAULT_NAMESPACE): unknown[] {
    for (const key of keys) checkName('key', key);
    const { entries } = this.#namespace(namespace);
    return keys.map((key) => entries.get(key)?.value);
  }

  /** Returns whether the key exists. */
  has<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NameArgument<S, N>,
  ): boolean;
  has(key: string, namespace: string = DEFAULT_NAMESPACE): boolean {
    checkName('key', key);
    return this.#namespace(namespace).entries.has(key);
  }

  /** Returns the value with its version, instants and agent. */
  entry<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NameArgument<S, N>,
  ): Entry<ValueOf<S, N, K>> | undefined;
  entry(key: string, namespace: string = DEFAULT_NAMESPACE): unknown {
    checkName('key', key);
    const entry = this.#namespace(namespace).entries.get(key);
    return entry && publicEntry(namespace, key, entry);
  }

  /** Returns all entries of a namespace, in no particular order. */
  entries<const N extends string = DefaultNamespace>(
    namespace?: NameArgument<S, N>,
  ): Entry<ValueOf<S, N, KeyOf<S, N>>>[];
  entries(namespace: string = DEFAULT_NAMESPACE): unknown[] {
    const { entries } = this.#namespace(namespace);
    return Array.from(entries, ([key, entry]) => publicEntry(namespace, key, entry));
  }

  /** Returns the keys of a namespace, in no particular order; empty if the namespace did not exist. */
  listKeys<const N extends string = DefaultNamespace>(namespace?: NameArgument<S, N>): KeyOf<S, N>[];
  listKeys(namespace: string = DEFAULT_NAMESPACE): string[] {
    return [...this.#namespace(namespace).entries.keys()];
  }

  /** Returns the names of the namespaces, sorted by code point. `default` is always among them. */
  listNamespaces(): NamespaceOf<S>[] {
    const names = new Set([DEFAULT_NAMESPACE, ...this.#state.names()]);
    return [...names].sort(compareNames) as NamespaceOf<S>[];
  }

  /**
   * Releases the view. Until then retention keeps its position; afterwards reads throw `CLOSED`. Garbage collection
   * releases it too.
   */
  [Symbol.dispose](): void {
    this.#view?.release?.();
    this.#view = undefined;
    this.#kept.clear();
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
