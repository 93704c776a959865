import type { WatchedUpdate, WatchOptions } from '../actors/watch.ts';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { Acknowledgement, BatchOperation, RemoveOptions, WriteOptions } from '../core/command.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { KeyOf, NamespaceOf, NamespaceTypes, ValueOf } from '../core/namespace-types.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { AgentOption } from '../core/write-options.ts';
import type { Reader } from '../engine/reader.ts';
import type { Writer } from '../engine/writer.ts';
import type { EntryVersion, History } from '../past/history.ts';
import { HANDLE_SUBSCRIBE_FILTER, HANDLE_WATCH_OPTIONS } from './option-names.ts';
import type { Answer, BatchOf } from './types.ts';

/** The parts of a cache that a handle uses. */
export interface HandleParts {
  readonly reader: Reader;
  readonly writer: Writer;
  readonly history: History;
  watch(options: WatchOptions): AsyncIterableIterator<WatchedUpdate>;
  subscribe(listener: (update: Update) => void, filter: Pick<WatchOptions, 'namespace' | 'keys'>): () => void;
}

/**
 * One namespace of a cache. Each method does what the method of the same name does on the cache. Creating a handle does
 * not create the namespace.
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
  readonly #parts: HandleParts;

  /** @internal */
  constructor(name: N, parts: HandleParts) {
    this.name = name;
    this.#parts = parts;
  }

  get<K extends KeyOf<S, N>>(key: K): Answer<P, ValueOf<S, N, K> | undefined> {
    return this.#parts.reader.get(key, this.name) as Answer<P, ValueOf<S, N, K> | undefined>;
  }

  getMany(keys: readonly KeyOf<S, N>[]): Answer<P, (ValueOf<S, N, KeyOf<S, N>> | undefined)[]> {
    return this.#parts.reader.getMany(keys, this.name) as Answer<P, (ValueOf<S, N, KeyOf<S, N>> | undefined)[]>;
  }

  has(key: KeyOf<S, N>): Answer<P, boolean> {
    return this.#parts.reader.has(key, this.name) as Answer<P, boolean>;
  }

  entry<K extends KeyOf<S, N>>(key: K): Answer<P, Entry<ValueOf<S, N, K>> | undefined> {
    return this.#parts.reader.entry(key, this.name) as Answer<P, Entry<ValueOf<S, N, K>> | undefined>;
  }

  entries(): Answer<P, Entry<ValueOf<S, N, KeyOf<S, N>>>[]> {
    return this.#parts.reader.entries(this.name) as Answer<P, Entry<ValueOf<S, N, KeyOf<S, N>>>[]>;
  }

  listKeys(): Answer<P, KeyOf<S, N>[]> {
    return this.#parts.reader.keys(this.name) as Answer<P, KeyOf<S, N>[]>;
  }

  history<K extends KeyOf<S, N>>(key: K): AsyncGenerator<EntryVersion<ValueOf<S, N, K>>, void, undefined> {
    const versions = this.#parts.history.versions(key, this.name);
    return versions as AsyncGenerator<EntryVersion<ValueOf<S, N, K>>, void, undefined>;
  }

  set<K extends KeyOf<S, N>>(key: K, value: ValueOf<S, N, K>, options?: WriteOptions): Promise<Acknowledgement> {
    return this.#parts.writer.set(key, value, this.name, options);
  }

  setMany(
    values: Partial<S[N]> | Iterable<readonly [KeyOf<S, N>, ValueOf<S, N, KeyOf<S, N>>]>,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<Acknowledgement> {
    return this.#parts.writer.setMany(values, this.name, options);
  }

  delete(key: KeyOf<S, N>, options?: RemoveOptions): Promise<Acknowledgement> {
    return this.#parts.writer.delete(key, this.name, options);
  }

  touch(key: KeyOf<S, N>, options: WriteOptions): Promise<Acknowledgement> {
    return this.#parts.writer.touch(key, this.name, options);
  }

  batch(operations: readonly BatchOf<S, N>[], options?: AgentOption): Promise<Acknowledgement> {
    return this.#parts.writer.batch(operations as readonly BatchOperation[], this.name, options);
  }

  update<K extends KeyOf<S, N>>(
    key: K,
    change: (value: ValueOf<S, N, K> | undefined) => MaybePromise<ValueOf<S, N, K> | undefined>,
    options?: WriteOptions,
  ): Promise<Acknowledgement> {
    return this.#parts.writer.update(key, change as (value: JsonValue | undefined) => unknown, this.name, options);
  }

  getOrSet<K extends KeyOf<S, N>>(
    key: K,
    make: () => MaybePromise<ValueOf<S, N, K>>,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<ValueOf<S, N, K>> {
    return this.#parts.writer.getOrSet(key, make, this.name, options) as Promise<ValueOf<S, N, K>>;
  }

  clear(options?: AgentOption): Promise<Acknowledgement> {
    return this.#parts.writer.clear(this.name, options);
  }

  drop(options?: AgentOption): Promise<Acknowledgement> {
    return this.#parts.writer.drop(this.name, options);
  }

  watch(options: Omit<WatchOptions, 'namespace'> = {}): AsyncIterableIterator<WatchedUpdate> {
    return this.#parts.watch({ ...HANDLE_WATCH_OPTIONS.checked(options), namespace: this.name });
  }

  subscribe(listener: (update: Update) => void, filter: Pick<WatchOptions, 'keys'> = {}): () => void {
    return this.#parts.subscribe(listener, { ...HANDLE_SUBSCRIBE_FILTER.checked(filter), namespace: this.name });
  }
}
