import type { WatchedUpdate, WatchOptions } from '../actors/watch.ts';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { Acknowledgement, RemoveOptions, WriteOptions } from '../core/command.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import type { EntryVersion } from '../past/history.ts';
import type { AgentContextCache } from './agent-context-cache.ts';
import type { Answer, BatchOf, KeyOf, NamespaceOf, NamespaceTypes, ValueOf } from './types.ts';

/**
 * One namespace of a cache. Each method is the cache's own of the same name. Making a handle makes no namespace.
 *
 * @example
 * ```ts
 * const trip = cache.namespace('trip');
 * await trip.set('plan', ['search', 'book']);
 * trip.get('plan');
 * ```
 */
export class NamespaceHandle<S extends NamespaceTypes, N extends NamespaceOf<S>, P extends BaseContextCache> {
  readonly name: N;
  readonly #cache: AgentContextCache<S, P>;

  constructor(cache: AgentContextCache<S, P>, name: N) {
    this.#cache = cache;
    this.name = name;
  }

  get<K extends KeyOf<S, N>>(key: K): Answer<P, ValueOf<S, N, K> | undefined> {
    return this.#cache.get(key, this.name);
  }

  getMany(keys: readonly KeyOf<S, N>[]): Answer<P, (ValueOf<S, N, KeyOf<S, N>> | undefined)[]> {
    return this.#cache.getMany(keys, this.name);
  }

  has(key: KeyOf<S, N>): Answer<P, boolean> {
    return this.#cache.has(key, this.name);
  }

  entry<K extends KeyOf<S, N>>(key: K): Answer<P, Entry<ValueOf<S, N, K>> | undefined> {
    return this.#cache.entry(key, this.name);
  }

  entries(): Answer<P, Entry<ValueOf<S, N, KeyOf<S, N>>>[]> {
    return this.#cache.entries(this.name);
  }

  listKeys(): Answer<P, KeyOf<S, N>[]> {
    return this.#cache.listKeys(this.name);
  }

  history<K extends KeyOf<S, N>>(key: K): AsyncGenerator<EntryVersion<ValueOf<S, N, K>>, void, undefined> {
    return this.#cache.history(key, this.name);
  }

  set<K extends KeyOf<S, N>>(key: K, value: ValueOf<S, N, K>, options?: WriteOptions): Promise<Acknowledgement> {
    return this.#cache.set(key, value, this.name, options);
  }

  setMany(
    values: Partial<S[N]> | Iterable<readonly [KeyOf<S, N>, ValueOf<S, N, KeyOf<S, N>>]>,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<Acknowledgement> {
    return this.#cache.setMany(values, this.name, options);
  }

  delete(key: KeyOf<S, N>, options?: RemoveOptions): Promise<Acknowledgement> {
    return this.#cache.delete(key, this.name, options);
  }

  touch(key: KeyOf<S, N>, options: WriteOptions): Promise<Acknowledgement> {
    return this.#cache.touch(key, this.name, options);
  }

  batch(
    operations: readonly BatchOf<S, N>[],
    options?: { readonly agent?: string | undefined },
  ): Promise<Acknowledgement> {
    return this.#cache.batch(operations, this.name, options);
  }

  update<K extends KeyOf<S, N>>(
    key: K,
    change: (value: ValueOf<S, N, K> | undefined) => MaybePromise<ValueOf<S, N, K> | undefined>,
    options?: WriteOptions,
  ): Promise<Acknowledgement> {
    return this.#cache.update(key, change, this.name, options);
  }

  getOrSet<K extends KeyOf<S, N>>(
    key: K,
    make: () => MaybePromise<ValueOf<S, N, K>>,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<ValueOf<S, N, K>> {
    return this.#cache.getOrSet(key, make, this.name, options);
  }

  clear(options?: { readonly agent?: string }): Promise<Acknowledgement> {
    return this.#cache.clearNamespace(this.name, options);
  }

  drop(options?: { readonly agent?: string }): Promise<Acknowledgement> {
    return this.#cache.dropNamespace(this.name, options);
  }

  watch(options: Omit<WatchOptions, 'namespace'> = {}): AsyncIterableIterator<WatchedUpdate> {
    return this.#cache.watch({ ...options, namespace: this.name });
  }

  subscribe(listener: (update: Update) => void, filter: Pick<WatchOptions, 'keys'> = {}): () => void {
    return this.#cache.subscribe(listener, { ...filter, namespace: this.name });
  }
}
