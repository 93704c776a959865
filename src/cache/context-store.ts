import type { Watching, WatchOptions } from '../actors/watch.ts';
import type { WatchFilter } from '../actors/watch-hub.ts';
import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Acknowledgement, BatchOperation, RemoveOptions, WriteOptions } from '../core/command.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { AgentOption } from '../core/write-options.ts';
import type { UpdateResult } from '../engine/writer.ts';

/**
 * The reads and writes of a cache without its types, for helpers and adapters that work with any cache. Every
 * `AgentContextCache` is a `ContextStore`, whatever its namespaces hold. Its reads may return promises, so `await` them.
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
  get(key: string, namespace?: string): MaybePromise<JsonValue | undefined>;
  getMany(keys: readonly string[], namespace?: string): MaybePromise<(JsonValue | undefined)[]>;
  has(key: string, namespace?: string): MaybePromise<boolean>;
  entry(key: string, namespace?: string): MaybePromise<Entry | undefined>;
  entries(namespace?: string): MaybePromise<Entry[]>;
  listKeys(namespace?: string): MaybePromise<string[]>;
  listNamespaces(): MaybePromise<string[]>;
  set(key: string, value: JsonValue, namespace?: string, options?: WriteOptions): Promise<Acknowledgement>;
  setMany(
    values: { readonly [key: string]: JsonValue } | Iterable<readonly [string, JsonValue]>,
    namespace?: string,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<Acknowledgement>;
  delete(key: string, namespace?: string, options?: RemoveOptions): Promise<Acknowledgement>;
  touch(key: string, namespace: string | undefined, options: WriteOptions): Promise<Acknowledgement>;
  batch(operations: readonly BatchOperation[], namespace?: string, options?: AgentOption): Promise<Acknowledgement>;
  update(
    key: string,
    change: (value: JsonValue | undefined) => MaybePromise<JsonValue | undefined>,
    namespace?: string,
    options?: WriteOptions,
  ): Promise<UpdateResult>;
  getOrSet(
    key: string,
    make: () => MaybePromise<JsonValue>,
    namespace?: string,
    options?: Omit<WriteOptions, 'ifVersion'>,
  ): Promise<JsonValue>;
  clearNamespace(namespace?: string, options?: AgentOption): Promise<Acknowledgement>;
  dropNamespace(namespace: string | undefined, options?: AgentOption): Promise<Acknowledgement>;
  watch(options?: WatchOptions): Watching;
  subscribe(listener: (update: Update) => void, filter?: WatchFilter): () => void;
  flush(): Promise<void>;
}
