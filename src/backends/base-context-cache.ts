import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { Owner } from './owner.ts';

/** The result of a backend: at once, or as a promise. */
export type MaybePromise<T> = T | Promise<T>;

/** Facts about an entry beside its value. */
export interface BackendSetOptions {
  /**
   * Instant at which the entry expires, epoch milliseconds; `null` or absent: never. A backend may ignore it, because a
   * `delete` follows at that time.
   */
  readonly expiresAt?: number | null;
}

/** The positions of a batch in its log. */
export interface LogMark {
  /** Id of the log. */
  readonly log: string;
  /** Position at which the mirror must be; a mirror at another position refuses the batch. */
  readonly after: number;
  /** Position of the mirror after this batch. */
  readonly through: number;
}

/**
 * The base class of backends, which keep values by namespace and key. Derive from it to use your own store: six
 * methods, each synchronous or asynchronous. A primary holds the values that reads return; a secondary is mirrored to.
 * The optional methods make a mirror faster or safer.
 *
 * The cache checks names and values before it calls a backend: names are well-formed Unicode, a namespace of 1 to
 * 1,024 bytes and a key of 0 to 8,192 (or `limits.maxKeyBytes`); a value is JSON. A backend must throw or reject on failure. A failed write of a primary rejects the command with
 * `BACKEND_FAILED`; a failed write of a secondary is retried with growing pauses, so it must be safe to repeat.
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
  /**
   * `true` if no method returns a promise. The cache over such a primary also answers at once. Default: every result is
   * awaited.
   */
  readonly synchronous?: boolean;

  /** Returns the value, or `undefined` if the key is missing. A stored `null` is `null`. */
  abstract get(key: string, namespace: string): MaybePromise<JsonValue | undefined>;
  /** Stores a value. Creates the namespace if it is new. */
  abstract set(key: string, value: JsonValue, namespace: string, options?: BackendSetOptions): MaybePromise<void>;
  /** Removes a key. Returns `true` if it existed. */
  abstract delete(key: string, namespace: string): MaybePromise<boolean>;
  /** Returns the keys of a namespace in any order; empty if the namespace is missing. Does not create it. */
  abstract listKeys(namespace: string): MaybePromise<string[]>;
  /** Removes every key of a namespace. Other namespaces stay as they are. */
  abstract clearNamespace(namespace: string): MaybePromise<void>;
  /** Returns the names of all namespaces in any order. */
  abstract listNamespaces(): MaybePromise<string[]>;

  /** Clears a namespace and removes it from the list. Default: clears it. */
  dropNamespace(namespace: string): MaybePromise<void> {
    return this.clearNamespace(namespace);
  }

  /** Returns the values of several keys in the order of the keys. Default: one `get` for each key. */
  getMany(keys: readonly string[], namespace: string): MaybePromise<(JsonValue | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key, namespace)));
  }

  /** Sets the instant at which an entry expires. Default: does nothing, because a `delete` follows at that time. */
  touch(_key: string, _namespace: string, _expiresAt: number | null): MaybePromise<void> {}

  /**
   * Writes a batch of updates and its position as one unit. Refuses a batch that does not follow on the stored position
   * (see {@link LogMark}), so that a late retry never replaces a new value with an old one. Implement it together with
   * {@link appliedPosition} if the store has transactions; otherwise the mirror writes one update after another. If
   * `after` equals `through`, the updates are written and the position stays.
   *
   * @throws {MirrorMismatchError} if the batch does not follow; the mirror then copies the whole state.
   */
  applyUpdates?(updates: readonly Update[], mark: LogMark, signal: AbortSignal): Promise<void>;

  /** Returns the stored position of `log`; `undefined` if the backend knows nothing of that log. */
  appliedPosition?(log: string, signal: AbortSignal): Promise<number | undefined>;

  /** Returns `true` if updates of another log were written here too, so that namespaces may belong to that log. */
  otherLogs?(log: string, signal: AbortSignal): Promise<boolean>;

  /** Stores `position` of `log`. Called when the content has been made equal to the state there. */
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

  /** Makes sure that the backend can be reached. Default: does nothing. */
  connect?(signal: AbortSignal): Promise<void>;

  /** Releases connections and files; a later call opens them again. Calling it twice is fine. Default: does nothing. */
  close?(): MaybePromise<void>;

  /** Registers a function that the backend calls when an idle connection breaks. Default: it is never called. */
  onLost?(lost: (cause: Error) => void): void;
}
