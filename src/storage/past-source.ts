import type { EntryRecord, NamespaceState } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import type { Lineage } from './lineage.ts';

/**
 * All namespaces as they were when the log ended at `position`. Later writes do not change it. Until it is released or
 * garbage-collected, retention keeps everything that it needs.
 */
export interface StateView {
  readonly position: number;
  /** The logs that the position belongs to. */
  readonly lineage: Lineage;
  /**
   * Iterates over the namespaces that existed: written to and not dropped, in no particular order. Must not be used
   * across an `await`.
   */
  names(): Iterable<string>;
  /** Returns whether the namespace existed. */
  has(namespace: string): boolean;
  /**
   * Returns a copy of a namespace's state that the caller may change, or `undefined` if the namespace did not exist.
   */
  state(namespace: string): NamespaceState | undefined;
  /**
   * Returns a function that finds single entries without reading the whole namespace, or `undefined` if that is not
   * possible now. The function is valid only within the current turn of the event loop.
   */
  finder(namespace: string): ((key: string) => EntryRecord | undefined) | undefined;
  /**
   * Returns the position of the namespace's last update, or 0 if it is not known. If two views return the same position
   * other than 0, the namespace is the same in both.
   */
  lastChange(namespace: string): number;
  /**
   * Releases what is kept for this view; it must not be read afterwards. Garbage collection does the
   * same.
   */
  release?(): void;
}

/** The past of a cache. All reads but `updates` and `updateAt` are synchronous. */
export interface PastSource {
  /** The logs that its positions belong to. */
  readonly lineage: Lineage;
  /** The oldest position whose state can still be read. */
  readonly first: number;
  /** The oldest position after which {@link PastSource.backwards} yields every update. */
  readonly reach: number;
  /**
   * Retention must keep everything after this position, because a view in use needs it. `undefined` if no view does.
   */
  readonly pinned: number | undefined;
  /**
   * Returns a view of the state at a position.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` if the position is no longer kept or not written yet.
   */
  at(position: number): StateView;
  /**
   * Returns a view of the state at the head, for long use. Costs nothing now, and later only what changes in the
   * meantime. The caller releases it.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` as {@link PastSource.at} does.
   */
  present(): StateView;
  /**
   * Returns the position before the first update whose instant is after `instant` (epoch milliseconds).
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` if that position is no longer kept.
   */
  positionAt(instant: number): number;
  /** Iterates over the updates of a namespace, latest first, back to the oldest one that is kept. */
  backwards(namespace: string): Iterable<Update>;
  /**
   * Reads the committed updates up to a position, oldest first, in groups; in a branch in memory also those of its parent up to the fork.
   * Leaves out those up to the position `after` (default 0), and those that retention has discarded.
   *
   * @throws {ContextCacheError} `CLOSED` if the branch's parent is shut down.
   */
  updates(through: number, after?: number): AsyncIterable<readonly Update[]>;
  /**
   * Resolves with the update at a position once it is committed, or with `undefined` if the position is not in the log.
   */
  updateAt(position: number): Promise<Update | undefined>;
}
