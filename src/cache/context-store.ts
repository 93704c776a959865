import type { Watching, WatchOptions } from '../actors/watch.ts';
import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Briefing, BriefingOptions } from '../core/briefing.ts';
import type { Changes, ChangesOptions } from '../core/changes.ts';
import type {
  Acknowledgement,
  Appended,
  AppendOptions,
  BatchOperation,
  ClearOptions,
  Incremented,
  IncrementOptions,
  MakeOptions,
  ManyOptions,
  RemoveOptions,
  TouchOptions,
  TransactionOperation,
  TransactionResult,
  WriteOptions,
} from '../core/command.ts';
import type { Found, SearchOptions } from '../core/entry-search.ts';
import type { NamespaceName } from '../core/namespace-parts.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { OriginOptions } from '../core/origin.ts';
import type { NamespaceRangeOptions, RangeOptions } from '../core/range.ts';
import type { RetractOptions, RetractReport } from '../core/retract-options.ts';
import type { Update } from '../core/update.ts';
import type { WatchFilter } from '../core/update-filter.ts';
import type { UpdateResult } from '../core/update-result.ts';
import type { JsonValue } from '../core/value.ts';
import type { EntryVersion } from '../past/history.ts';

/**
 * The reads and writes of a cache without its types, for helpers and adapters that work with any cache. Every
 * `AgentContextCache` and every `RemoteContextCache` is a `ContextStore`, whatever its namespaces hold. Its reads may return
 * promises, so `await` them.
 * Each method behaves like the method of the same name on `AgentContextCache`. Without a namespace, or with `undefined`,
 * it uses `default`.
 *
 * The compiler does not check names and values here; schemas still do.
 *
 * @example
 * ```ts
 * async function addNote(store: ContextStore, note: string, namespace?: string): Promise<void> {
 *   await store.update('notes', (notes) => [...(Array.isArray(notes) ? notes : []), note], namespace);
 * }
 * ```
 */
export interface ContextStore {
  /** Position of the last update. */
  readonly position: number;
  get(key: string, namespace?: NamespaceName): MaybePromise<JsonValue | undefined>;
  getMany(keys: readonly string[], namespace?: NamespaceName): MaybePromise<(JsonValue | undefined)[]>;
  has(key: string, namespace?: NamespaceName): MaybePromise<boolean>;
  entry(key: string, namespace?: NamespaceName): MaybePromise<Entry | undefined>;
  entries(namespace?: NamespaceName): MaybePromise<Entry[]>;
  entries(namespace: NamespaceName | undefined, options: RangeOptions): Iterable<Entry> | AsyncIterable<Entry>;
  keys(namespace?: NamespaceName, options?: RangeOptions): Iterable<string> | AsyncIterable<string>;
  listKeys(namespace?: NamespaceName, options?: RangeOptions): MaybePromise<string[]>;
  listNamespaces(options?: NamespaceRangeOptions): MaybePromise<string[]>;
  search(options?: SearchOptions): Promise<Found>;
  set(key: string, value: JsonValue, namespace?: NamespaceName, options?: WriteOptions): Promise<Acknowledgement>;
  setMany(
    values: { readonly [key: string]: JsonValue } | Iterable<readonly [string, JsonValue]>,
    namespace?: NamespaceName,
    options?: ManyOptions,
  ): Promise<Acknowledgement>;
  delete(key: string, namespace?: NamespaceName, options?: RemoveOptions): Promise<Acknowledgement>;
  touch(key: string, namespace: NamespaceName | undefined, options: TouchOptions): Promise<Acknowledgement>;
  increment(key: string, by?: number, namespace?: NamespaceName, options?: IncrementOptions): Promise<Incremented>;
  append(value: JsonValue, namespace?: NamespaceName, options?: AppendOptions): Promise<Appended>;
  batch(
    operations: readonly BatchOperation[],
    namespace?: NamespaceName,
    options?: OriginOptions,
  ): Promise<Acknowledgement>;
  update(
    key: string,
    change: (value: JsonValue | undefined) => MaybePromise<JsonValue | undefined>,
    namespace?: NamespaceName,
    options?: WriteOptions,
  ): Promise<UpdateResult>;
  getOrSet(
    key: string,
    make: () => MaybePromise<JsonValue>,
    namespace?: NamespaceName,
    options?: MakeOptions,
  ): Promise<JsonValue>;
  clearNamespace(namespace?: NamespaceName, options?: ClearOptions): Promise<Acknowledgement>;
  dropNamespace(namespace: NamespaceName | undefined, options?: OriginOptions): Promise<Acknowledgement>;
  transaction(operations: readonly TransactionOperation[], options?: OriginOptions): Promise<TransactionResult>;
  changes(options: ChangesOptions): Promise<Changes>;
  briefing(options?: BriefingOptions): Promise<Briefing>;
  retract(position: number, options?: RetractOptions): Promise<RetractReport>;
  history(key: string, namespace?: NamespaceName): AsyncIterable<EntryVersion>;
  watch(options?: WatchOptions): Watching;
  subscribe(listener: (update: Update) => void, filter?: WatchFilter): () => void;
  flush(): Promise<void>;
}
