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
 * All namespaces of a cache as they were when its log ended at {@link CacheView.position}: read as the cache itself is,
 * at once. It holds nothing up and never changes, however long writers go on. An entry whose time was over but which had
 * not been taken out yet is still there: a view is what the log says.
 *
 * With a data directory reading throws `LOG_UNAVAILABLE` while that is being opened again after a failure, `LOG_CORRUPT`
 * where it is damaged, and `CLOSED` after the cache's end.
 *
 * @example
 * ```ts
 * using before = cache.at(position - 1);
 * before.get('plan', 'trip');
 * ```
 */
export class CacheView<S extends NamespaceTypes<S> = AnyNamespaces> {
  /** The last update that is in it; 0: none, the empty cache. */
  readonly position: number;
  readonly #kept = new StateCache();
  /** `undefined` once the view is disposed of. */
  #view: StateView | undefined;

  /** @internal */
  constructor(view: StateView) {
    this.position = view.position;
    this.#view = view;
  }

  static {
    stateOf = (view) => view.#state;
  }

  /** The value; `undefined` where there was none. Deeply frozen. */
  get<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NameArgument<S, N>,
  ): ValueOf<S, N, K> | undefined;
  get(key: string, namespace: string = DEFAULT_NAMESPACE): unknown {
    checkName('key', key);
    return this.#namespace(namespace).entries.get(key)?.value;
  }

  /** Values of several keys, in their order; `undefined` where there was none. */
  getMany<const K extends string, const N extends string = DefaultNamespace>(
    keys: readonly KeyArgument<S, N, K>[],
    namespace?: NameArgument<S, N>,
  ): (ValueOf<S, N, K> | undefined)[];
  getMany(keys: readonly string[], namespace: string = DEFAULT_NAMESPACE): unknown[] {
    for (const key of keys) checkName('key', key);
    const { entries } = this.#namespace(namespace);
    return keys.map((key) => entries.get(key)?.value);
  }

  /** Whether there was a value. */
  has<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NameArgument<S, N>,
  ): boolean;
  has(key: string, namespace: string = DEFAULT_NAMESPACE): boolean {
    checkName('key', key);
    return this.#namespace(namespace).entries.has(key);
  }

  /** The value with its version, instants and agent. */
  entry<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NameArgument<S, N>,
  ): Entry<ValueOf<S, N, K>> | undefined;
  entry(key: string, namespace: string = DEFAULT_NAMESPACE): unknown {
    checkName('key', key);
    const entry = this.#namespace(namespace).entries.get(key);
    return entry && publicEntry(namespace, key, entry);
  }

  /** Every entry of a namespace, in no particular order. */
  entries<const N extends string = DefaultNamespace>(
    namespace?: NameArgument<S, N>,
  ): Entry<ValueOf<S, N, KeyOf<S, N>>>[];
  entries(namespace: string = DEFAULT_NAMESPACE): unknown[] {
    const { entries } = this.#namespace(namespace);
    return Array.from(entries, ([key, entry]) => publicEntry(namespace, key, entry));
  }

  /** Keys of a namespace, in no particular order; empty where there was no such namespace. */
  listKeys<const N extends string = DefaultNamespace>(namespace?: NameArgument<S, N>): KeyOf<S, N>[];
  listKeys(namespace: string = DEFAULT_NAMESPACE): string[] {
    return [...this.#namespace(namespace).entries.keys()];
  }

  /** Namespaces that there were, sorted by code point; `default` always was. */
  listNamespaces(): NamespaceOf<S>[] {
    const names = new Set([DEFAULT_NAMESPACE, ...this.#state.names()]);
    return [...names].sort(compareNames) as NamespaceOf<S>[];
  }

  /**
   * Lets go of what it has read, and of its moment, which retention leaves as it is until then; it cannot be used any
   * more. Garbage collection does it as well.
   */
  [Symbol.dispose](): void {
    this.#view?.release?.();
    this.#view = undefined;
    this.#kept.clear();
  }

  get #state(): StateView {
    if (this.#view !== undefined) return this.#view;
    throw new ContextCacheError('CLOSED', 'The view has been disposed of. Ask the cache for another.');
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
