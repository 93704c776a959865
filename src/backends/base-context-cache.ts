import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { Owner } from './owner.ts';

/** A backend may answer at once or later. */
export type MaybePromise<T> = T | Promise<T>;

/** What a backend may be told about an entry besides its value. */
export interface BackendSetOptions {
  /** When the entry expires, epoch milliseconds; `null` or absent: never. A backend may ignore it: an `expire` update follows. */
  readonly expiresAt?: number | null;
}

/** Where a batch of updates stands in the log it comes from. */
export interface LogMark {
  /** Id of the log. */
  readonly log: string;
  /** The position the mirror must be at; a mirror that is elsewhere refuses the batch. */
  readonly after: number;
  /** The position the mirror is at once it has the batch. */
  readonly through: number;
}

/**
 * A place that keeps values by namespace and key. Derive from it to bring a backend of your own: six methods, each
 * synchronous or asynchronous. As the primary it holds the values that reads answer from; as the secondary it is
 * mirrored to. The optional methods make a mirror faster or safer.
 *
 * Names and values have been checked before they come here. A failure is thrown or rejected, never swallowed.
 *
 * @example
 * ```ts
 * class MapCache extends BaseContextCache {
 *   readonly spaces = new Map<string, Map<string, JsonValue>>();
 *   get(key: string, namespace: string) { return this.spaces.get(namespace)?.get(key); }
 *   set(key: string, value: JsonValue, namespace: string) {
 *     let space = this.spaces.get(namespace);
 *     if (!space) this.spaces.set(namespace, (space = new Map()));
 *     space.set(key, value);
 *   }
 *   delete(key: string, namespace: string) { return this.spaces.get(namespace)?.delete(key) ?? false; }
 *   listKeys(namespace: string) { return [...(this.spaces.get(namespace)?.keys() ?? [])]; }
 *   clearNamespace(namespace: string) { this.spaces.get(namespace)?.clear(); }
 *   listNamespaces() { return [...this.spaces.keys()]; }
 * }
 * ```
 */
export abstract class BaseContextCache {
  /** `true` where every method answers at once: then the cache over it answers at once too. Default: unknown, so awaited. */
  readonly synchronous?: boolean;

  /** The value, or `undefined` where there is none. A stored `null` is `null`. */
  abstract get(key: string, namespace: string): MaybePromise<JsonValue | undefined>;
  /** Stores; creates the namespace where it is new. */
  abstract set(key: string, value: JsonValue, namespace: string, options?: BackendSetOptions): MaybePromise<void>;
  /** Removes; tells whether there was one. */
  abstract delete(key: string, namespace: string): MaybePromise<boolean>;
  /** The keys of the namespace, in any order; empty where there is no such namespace. Does not create it. */
  abstract listKeys(namespace: string): MaybePromise<string[]>;
  /** Removes every key of the namespace and touches no other. */
  abstract clearNamespace(namespace: string): MaybePromise<void>;
  /** The namespaces there are, in any order. */
  abstract listNamespaces(): MaybePromise<string[]>;

  /** Clears the namespace and takes it off the list. Default: clears it. */
  dropNamespace(namespace: string): MaybePromise<void> {
    return this.clearNamespace(namespace);
  }

  /** Values of several keys, in their order. Default: one `get` after another. */
  getMany(keys: readonly string[], namespace: string): MaybePromise<(JsonValue | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key, namespace)));
  }

  /** Sets when an entry expires. Default: nothing, as an `expire` update will follow. */
  touch(_key: string, _namespace: string, _expiresAt: number | null): MaybePromise<void> {}

  /**
   * Takes a batch of updates and the position it leads to as one unit, and refuses one that does not follow on what
   * it has (see {@link LogMark}), so that a late retry can never put an old value over a new one. Implement it
   * together with {@link appliedPosition} where the store has transactions; otherwise the mirror writes one update
   * after another. With `after` equal to `through` the updates are taken and the position stays.
   */
  applyUpdates?(updates: readonly Update[], mark: LogMark, signal: AbortSignal): Promise<void>;

  /** The position of `log` that this backend is at; `undefined` where it knows nothing of that log. */
  appliedPosition?(log: string, signal: AbortSignal): Promise<number | undefined>;

  /** Whether updates of another log than `log` have been written here too, so that not all that is here is `log`'s. */
  otherLogs?(log: string, signal: AbortSignal): Promise<boolean>;

  /** Declares the backend to be at `position` of `log`, after its content has been made equal. */
  resetPosition?(log: string, position: number, signal: AbortSignal): Promise<void>;

  /**
   * Makes the backend the mirror of one cache. The mirror calls it after each {@link connect} and before it reads a
   * position or writes. A claim that is lost later goes to the listeners of {@link onLost}. Default: every cache may
   * mirror here.
   *
   * @throws {OwnedByAnotherError} if the backend belongs to another cache. Nothing has changed then.
   */
  claim?(owner: Owner, signal: AbortSignal): Promise<void>;

  /** Gives the claim up because the cache shuts down. Must not connect for it. Called before {@link close}. */
  release?(): Promise<void>;

  /** Makes sure that the backend can be reached. Default: nothing to do. */
  connect?(signal: AbortSignal): Promise<void>;

  /** Gives back connections and files; a later call opens them again. Default: nothing to do. Twice is fine. */
  close?(): MaybePromise<void>;

  /** The backend calls `lost` when an idle connection breaks. Default: never. */
  onLost?(lost: (cause: Error) => void): void;
}
