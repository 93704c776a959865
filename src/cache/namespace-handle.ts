import type { WatchedUpdate, Watching, WatchOptions } from '../actors/watch.ts';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import { type Changes, type ChangesOptions, HANDLE_CHANGES_OPTIONS } from '../core/changes.ts';
import type {
  Acknowledgement,
  Appended,
  AppendOptions,
  BatchOperation,
  ClearOptions,
  ContextCommand,
  Incremented,
  IncrementOptions,
  MakeOptions,
  ManyOptions,
  RemoveOptions,
  TouchOptions,
  WriteOptions,
} from '../core/command.ts';
import type { Contradictions, ContradictionsOptions } from '../core/contradiction.ts';
import type { SearchOptions } from '../core/entry-search.ts';
import type { Entry } from '../core/namespace-state.ts';
import type {
  BatchOf,
  FilterOf,
  FoundIn,
  KeyOf,
  ManyArgument,
  UpdateOf,
  ValueArgument,
  ValueOf,
} from '../core/namespace-types.ts';
import type { OriginOptions } from '../core/origin.ts';
import type { RangeOptions } from '../core/range.ts';
import type { Impact, ImpactOptions, Provenance, ProvenanceOptions } from '../core/trace.ts';
import type { Update } from '../core/update.ts';
import type { See, WatchFilter } from '../core/update-filter.ts';
import type { UpdateResult } from '../core/update-result.ts';
import type { JsonValue } from '../core/value.ts';
import type { Reader } from '../engine/reader.ts';
import type { Writer } from '../engine/writer.ts';
import type { EntryVersion, History } from '../past/history.ts';
import { HANDLE_SUBSCRIBE_FILTER, HANDLE_WATCH_OPTIONS } from './option-names.ts';
import { commandOfContradictions, commandOfImpact, commandOfProvenance } from './trace-commands.ts';
import type { Answer, AnswerTo, Iteration, ReadOptions } from './types.ts';

/** The parts of a cache that a handle uses. */
export interface HandleParts {
  readonly reader: Pick<
    Reader,
    'get' | 'getMany' | 'has' | 'entry' | 'entries' | 'keys' | 'keysInOrder' | 'entriesInOrder' | 'search'
  >;
  readonly writer: Pick<
    Writer,
    | ('set' | 'setMany' | 'delete' | 'touch' | 'increment' | 'append')
    | ('batch' | 'update' | 'getOrSet' | 'clear' | 'drop')
  >;
  readonly history: Pick<History, 'versions'>;
  /** Reads a value under the options of a read. */
  readonly readWith: (key: string, namespace: string, options: ReadOptions) => MaybePromise<JsonValue | undefined>;
  /** Reads an entry under the options of a read. */
  readonly entryWith: (key: string, namespace: string, options: ReadOptions) => MaybePromise<Entry | undefined>;
  /** Executes a command that no other part has a method for. */
  ask<Command extends ContextCommand>(command: Command): Promise<AnswerTo<Command>>;
  changes(options: ChangesOptions, see?: See): Promise<Changes>;
  /** Calls a function; its rejection needs no handler. */
  readonly guard: <Result>(run: () => Promise<Result>) => Promise<Result>;
  watch(options: WatchOptions, see?: See): Watching;
  subscribe(listener: (update: Update) => void, filter: WatchFilter, see?: See): () => void;
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
export class NamespaceHandle<S, N extends string, P extends BaseContextCache> {
  readonly name: N;
  readonly #parts: HandleParts;

  /** @internal */
  constructor(name: N, parts: HandleParts) {
    this.name = name;
    this.#parts = parts;
  }

  get<K extends KeyOf<S, N>>(key: K, options?: ReadOptions): Answer<P, ValueOf<S, N, K> | undefined>;
  get(key: string, options?: ReadOptions): unknown {
    const { reader, readWith } = this.#parts;
    return options === undefined ? reader.get(key, this.name) : readWith(key, this.name, options);
  }

  getMany<K extends KeyOf<S, N>>(keys: readonly K[]): Answer<P, (ValueOf<S, N, K> | undefined)[]>;
  getMany(keys: readonly string[]): unknown {
    return this.#parts.reader.getMany(keys, this.name);
  }

  has<K extends KeyOf<S, N>>(key: K): Answer<P, boolean>;
  has(key: string): unknown {
    return this.#parts.reader.has(key, this.name);
  }

  entry<K extends KeyOf<S, N>>(key: K): Answer<P, Entry<ValueOf<S, N, K>> | undefined>;
  entry(key: string): unknown {
    return this.#parts.reader.entry(key, this.name);
  }

  entries(): Answer<P, Entry<ValueOf<S, N, KeyOf<S, N>>>[]>;
  entries(options: RangeOptions): Iteration<P, Entry<ValueOf<S, N, KeyOf<S, N>>>>;
  entries(options?: RangeOptions): unknown {
    const { reader } = this.#parts;
    return options === undefined ? reader.entries(this.name) : reader.entriesInOrder(this.name, options);
  }

  keys(options?: RangeOptions): Iteration<P, KeyOf<S, N>>;
  keys(options?: RangeOptions): unknown {
    return this.#parts.reader.keysInOrder(this.name, options);
  }

  listKeys(options?: RangeOptions): Answer<P, KeyOf<S, N>[]>;
  listKeys(options?: RangeOptions): unknown {
    return this.#parts.reader.keys(this.name, options);
  }

  search(options?: Omit<SearchOptions, 'namespace' | 'prefix'>): Promise<FoundIn<S, N>>;
  search(options?: SearchOptions): Promise<unknown> {
    return this.#parts.guard(async () => this.#parts.reader.search({ ...options, namespace: this.name }));
  }

  history<K extends KeyOf<S, N>>(key: K): AsyncGenerator<EntryVersion<ValueOf<S, N, K>>, void, undefined>;
  history(key: string): unknown {
    return this.#parts.history.versions(key, this.name);
  }

  provenance<K extends KeyOf<S, N>>(key: K, options?: ProvenanceOptions): Promise<Provenance | undefined> {
    return this.#parts.guard(async () => this.#parts.ask(commandOfProvenance(key, this.name, options)));
  }

  impact<K extends KeyOf<S, N>>(key: K, options?: ImpactOptions): Promise<Impact> {
    return this.#parts.guard(async () => this.#parts.ask(commandOfImpact({ key, namespace: this.name }, options)));
  }

  contradictions(options?: Omit<ContradictionsOptions, 'namespace'>): Promise<Contradictions> {
    const run = async () => this.#parts.ask(commandOfContradictions({ ...options, namespace: this.name }));
    return this.#parts.guard(run);
  }

  set<K extends KeyOf<S, N>, V = unknown>(
    key: K,
    value: ValueArgument<S, N, K, V>,
    options?: WriteOptions,
  ): Promise<Acknowledgement>;
  set(key: string, value: unknown, options?: WriteOptions): Promise<Acknowledgement> {
    return this.#parts.writer.set(key, value, this.name, options);
  }

  setMany<V = unknown>(values: ManyArgument<S, N, V>, options?: ManyOptions): Promise<Acknowledgement>;
  setMany(values: object, options?: ManyOptions): Promise<Acknowledgement> {
    return this.#parts.writer.setMany(values, this.name, options);
  }

  delete<K extends KeyOf<S, N>>(key: K, options?: RemoveOptions): Promise<Acknowledgement>;
  delete(key: string, options?: RemoveOptions): Promise<Acknowledgement> {
    return this.#parts.writer.delete(key, this.name, options);
  }

  touch<K extends KeyOf<S, N>>(key: K, options: TouchOptions): Promise<Acknowledgement>;
  touch(key: string, options: TouchOptions): Promise<Acknowledgement> {
    return this.#parts.writer.touch(key, this.name, options);
  }

  increment<K extends KeyOf<S, N>>(key: K, by = 1, options?: IncrementOptions): Promise<Incremented> {
    return this.#parts.writer.increment(key, by, this.name, options);
  }

  append<V = unknown>(value: ValueArgument<S, N, KeyOf<S, N>, V>, options?: AppendOptions): Promise<Appended>;
  append(value: unknown, options?: AppendOptions): Promise<Appended> {
    return this.#parts.writer.append(value, this.name, options);
  }

  batch(operations: readonly BatchOf<S, N>[], options?: OriginOptions): Promise<Acknowledgement>;
  batch(operations: readonly BatchOperation[], options?: OriginOptions): Promise<Acknowledgement> {
    return this.#parts.writer.batch(operations, this.name, options);
  }

  update<K extends KeyOf<S, N>, V = unknown>(
    key: K,
    change: (value: ValueOf<S, N, K> | undefined) => MaybePromise<ValueArgument<S, N, K, V> | undefined>,
    options?: WriteOptions,
  ): Promise<UpdateResult<ValueOf<S, N, K>>>;
  update(key: string, change: (value: never) => unknown, options?: WriteOptions): Promise<unknown> {
    return this.#parts.writer.update(key, change as (value: JsonValue | undefined) => unknown, this.name, options);
  }

  getOrSet<K extends KeyOf<S, N>, V = unknown>(
    key: K,
    make: () => MaybePromise<ValueArgument<S, N, K, V>>,
    options?: MakeOptions,
  ): Promise<ValueOf<S, N, K>>;
  getOrSet(key: string, make: () => unknown, options?: MakeOptions): Promise<unknown> {
    return this.#parts.writer.getOrSet(key, make, this.name, options);
  }

  clear(options?: ClearOptions): Promise<Acknowledgement> {
    return this.#parts.writer.clear(this.name, options);
  }

  drop(options?: OriginOptions): Promise<Acknowledgement> {
    return this.#parts.writer.drop(this.name, options);
  }

  changes(options: Pick<ChangesOptions, 'since' | 'limit'>): Promise<Changes<UpdateOf<S, N>>>;
  changes(options: Pick<ChangesOptions, 'since' | 'limit'>): Promise<Changes<unknown>> {
    const read = async () => this.#parts.changes({ ...HANDLE_CHANGES_OPTIONS.checked(options), namespace: this.name });
    return this.#parts.guard(read);
  }

  watch(
    options?: Omit<WatchOptions, keyof WatchFilter> & Pick<FilterOf<S, N>, 'keys' | 'keyPrefix'>,
  ): Watching<UpdateOf<S, N, WatchedUpdate>>;
  watch(options: Omit<WatchOptions, 'namespace' | 'namespacePrefix'> = {}): Watching<unknown> {
    return this.#parts.watch({ ...HANDLE_WATCH_OPTIONS.checked(options), namespace: this.name });
  }

  subscribe(
    listener: (update: UpdateOf<S, N>) => void,
    filter?: Pick<FilterOf<S, N>, 'keys' | 'keyPrefix'>,
  ): () => void;
  subscribe(listener: (update: never) => void, filter: Pick<WatchFilter, 'keys' | 'keyPrefix'> = {}): () => void {
    return this.#parts.subscribe(listener as (update: Update) => void, {
      ...HANDLE_SUBSCRIBE_FILTER.checked(filter),
      namespace: this.name,
    });
  }
}
