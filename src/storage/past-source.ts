import type { EntryRecord, NamespaceState } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import type { Lineage } from './lineage.ts';

/**
 * All namespaces as they were when the log ended at one position. Nothing that happens later changes it. As long as it
 * is held and has not been released, retention lets go of nothing that it needs.
 */
export interface StateView {
  readonly position: number;
  /** Whose positions these are. */
  readonly lineage: Lineage;
  /** Namespaces that there were: written to and not dropped, in no particular order. Do not keep it over an `await`. */
  names(): Iterable<string>;
  /** Whether it is one of those. */
  has(namespace: string): boolean;
  /** A namespace in a state of the caller's own; `undefined` where there was none. */
  state(namespace: string): NamespaceState | undefined;
  /**
   * Finds single entries of a namespace without reading all of it; `undefined` where that is not possible now. For use
   * at once: a turn later it may no longer be.
   */
  finder(namespace: string): ((key: string) => EntryRecord | undefined) | undefined;
  /** Position of the namespace's last update; 0 where none is known. Where two moments agree they are the same for it. */
  lastChange(namespace: string): number;
  /**
   * Lets go of what is kept for it, and holds nothing back any longer; it cannot be read any more. Garbage collection does
   * it as well.
   */
  release?(): void;
}

/** The past of a cache, readable at once. */
export interface PastSource {
  /** Whose positions these are. */
  readonly lineage: Lineage;
  /** The oldest position of which the state can be seen; the one before it has gone, or has never been. */
  readonly first: number;
  /** Nothing from after this position may be let go of: a moment in use needs it. `undefined`: none does. */
  readonly pinned: number | undefined;
  /**
   * The state at a position.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE`.
   */
  at(position: number): StateView;
  /**
   * The state at the log's head, for one who keeps it for long and releases it: it costs nothing now, and later no more
   * than what changes meanwhile. Throws as {@link PastSource.at}.
   */
  present(): StateView;
  /**
   * The last position before the first update that was asked for after the instant.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` where that has been let go of.
   */
  positionAt(instant: number): number;
  /** What has happened to a namespace by now, the last first, as far as the past goes back. */
  backwards(namespace: string): Iterable<Update>;
  /** The update at a position, once it is committed; `undefined` where there is none. */
  updateAt(position: number): Promise<Update | undefined>;
}
