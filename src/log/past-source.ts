import type { NamespaceState } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';

/** All namespaces as they were when the log ended at one position. Nothing that happens later changes it. */
export interface Moment {
  readonly position: number;
  /** Namespaces that there were: written to and not dropped, in no particular order. */
  names(): Iterable<string>;
  /** A namespace in a state of the caller's own; `undefined` where there was none. */
  state(namespace: string): NamespaceState | undefined;
  /** Position of the namespace's last update; 0 where none is known. Where two moments agree they are the same for it. */
  lastChange(namespace: string): number;
}

/** The past of a cache, readable at once. */
export interface PastSource {
  /** The oldest position of which the state can be seen; the one before it has gone, or has never been. */
  readonly first: number;
  /**
   * The state at a position.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE`.
   */
  at(position: number): Moment;
  /** The last position before the first update that was asked for after the instant. */
  positionAt(instant: number): number;
  /** What has happened to a namespace by now, the last first, as far as the past goes back. */
  backwards(namespace: string): Iterable<Update>;
}
