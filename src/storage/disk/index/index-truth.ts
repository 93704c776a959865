import type { NamespaceState } from '../../../core/namespace-state.ts';

/**
 * The base and the log, from which everything is read that the index cannot answer: it is missing, being reopened, or
 * damaged. Slow.
 */
export interface IndexTruth {
  /** Iterates over the namespaces at a position from the base on. */
  names(position: number): Iterable<string>;
  /** Returns a namespace at a position from the base on, in a state that the caller owns. */
  stateAt(namespace: string, position: number): NamespaceState | undefined;
  /** Returns the position of a namespace's last update up to a position from the base on; 0 if it has none. */
  lastChange(namespace: string, position: number): number;
}
