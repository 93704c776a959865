import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { HandleOptions } from '../cache/basis-handle.ts';
import type { ContextStore } from '../cache/context-store.ts';
import type { Transaction } from '../cache/transact.ts';
import type { Changes, ChangesOptions } from '../core/changes.ts';
import type {
  ClearOptions,
  ContextCommand,
  Duration,
  TransactionOperation,
  TransactionResult,
} from '../core/command.ts';
import type { Contradictions, ContradictionsOptions } from '../core/contradiction.ts';
import type { Found, SearchOptions } from '../core/entry-search.ts';
import type { NamespaceName } from '../core/namespace-parts.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { OriginOptions } from '../core/origin.ts';
import type { NamespaceRangeOptions, RangeOptions } from '../core/range.ts';
import type { RetractOptions, RetractReport } from '../core/retract-options.ts';
import type { Stamp } from '../core/stamp.ts';
import type { Impact, Provenance, WriteTarget } from '../core/trace.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { CacheHealth } from '../engine/health.ts';
import type { LogRange } from '../engine/log-range.ts';
import type { Difference } from '../past/difference.ts';
import type { EntryVersion } from '../past/history.ts';

/** A view, at once or asynchronously. */
export interface SuiteView extends Disposable {
  readonly position: number;
  get(key: string, namespace?: string): MaybePromise<JsonValue | undefined>;
  getMany(keys: readonly string[], namespace?: string): MaybePromise<(JsonValue | undefined)[]>;
  has(key: string, namespace?: string): MaybePromise<boolean>;
  entry(key: string, namespace?: string): MaybePromise<Entry | undefined>;
  entries(namespace?: string): MaybePromise<Entry[]>;
  entries(namespace: string | undefined, options: RangeOptions): Iterable<Entry> | AsyncIterable<Entry>;
  keys(namespace?: string, options?: RangeOptions): Iterable<string> | AsyncIterable<string>;
  listKeys(namespace?: string, options?: RangeOptions): MaybePromise<string[]>;
  listNamespaces(options?: NamespaceRangeOptions): MaybePromise<string[]>;
}

/**
 * The common surface of a cache and of the clients of a served one. Answers may be promises, so the
 * suite awaits all of them.
 */
export interface SuiteCache extends FreshReads {
  at(position: number | Date): MaybePromise<SuiteView>;
  history(key: string, namespace?: string): AsyncIterable<EntryVersion>;
  diff(a: number | Date, b: number | Date, options?: { readonly namespace?: string | undefined }): Promise<Difference>;
  readLog(range?: LogRange): AsyncIterable<Update>;
  changes(options: ChangesOptions): Promise<Changes>;
  provenance(key: string, namespace?: string): Promise<Provenance | undefined>;
  impact(target: WriteTarget): Promise<Impact>;
  retract(position: number, options?: RetractOptions): Promise<RetractReport>;
  contradictions(options?: ContradictionsOptions): Promise<Contradictions>;
  ask(command: ContextCommand): Promise<unknown>;
  digest(namespace?: string): Promise<string>;
  setTopicsList(topics: readonly string[]): Promise<void>;
  getTopicsList(): MaybePromise<string[]>;
  addTopic(topic: string): Promise<void>;
  removeTopic(topic: string): Promise<void>;
  isBackupEnabled(): MaybePromise<boolean>;
  enableBackup(settings?: { readonly interval?: number; readonly keep?: number }): Promise<void>;
  disableBackup(): Promise<void>;
  getBackupSettings(): MaybePromise<{ readonly interval: number | string; readonly keep: number }>;
  getBackupStatus(): MaybePromise<{ readonly enabled: boolean }>;
  backup(): Promise<{ readonly position: number }>;
  synced(): Promise<void>;
  health(): MaybePromise<CacheHealth>;
  namespace(name: string): SuiteHandle;
  transaction(operations: readonly TransactionOperation[], options?: OriginOptions): Promise<TransactionResult>;
  transact<Result>(run: (tx: Transaction) => MaybePromise<Result>): Promise<Result>;
  as(stamp: Stamp, options?: HandleOptions): StampedStore;
}

/** Reads that say how far behind they may be, and waits for what others have written. */
interface FreshReads extends ContextStore {
  get(
    key: string,
    namespace?: NamespaceName,
    options?: { readonly maxStalenessMs?: Duration | undefined },
  ): MaybePromise<JsonValue | undefined>;
  barrier(): Promise<void>;
  reached(position: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
}

/** A handle that adds an agent and a `meta` to each write. */
export interface StampedStore extends FreshReads {
  as(stamp: Stamp, options?: HandleOptions): StampedStore;
  namespace(name: string): SuiteHandle;
}

/** A handle of one namespace. */
export interface SuiteHandle {
  changes(options: Pick<ChangesOptions, 'since' | 'limit'>): Promise<Changes>;
  readonly name: string;
  get(key: string, options?: { readonly maxStalenessMs?: Duration | undefined }): MaybePromise<JsonValue | undefined>;
  entry(key: string): MaybePromise<Entry | undefined>;
  entries(options: RangeOptions): Iterable<Entry> | AsyncIterable<Entry>;
  keys(options?: RangeOptions): Iterable<string> | AsyncIterable<string>;
  listKeys(options?: RangeOptions): MaybePromise<string[]>;
  search(options?: SearchOptions): Promise<Found>;
  set(key: string, value: JsonValue): Promise<unknown>;
  delete(key: string): Promise<unknown>;
  update(key: string, change: (value: JsonValue | undefined) => string | null): Promise<unknown>;
  clear(options?: ClearOptions): Promise<unknown>;
}

/** What a check may expect of a cache. */
export interface SuiteTraits {
  /** When a write is visible to reads of the same cache: once its call has returned, or once its promise has resolved. */
  readonly visible: 'when called' | 'when resolved';
}

/** A test of the suite: its name, and a check of a new and empty cache. */
export type CacheCheck = readonly [name: string, run: (cache: SuiteCache, traits: SuiteTraits) => Promise<void>];
