import type { NamespaceState } from '../../../core/namespace-state.ts';
import type { NamespaceSummary } from '../../state-source.ts';

/**
 * The base and the log, from which everything is read that the index cannot answer: it is missing, being reopened, or
 * damaged. Slow. Positions are those from the base on.
 */
export interface IndexTruth {
  /** Iterates over the namespaces at a position. */
  names(position: number): Iterable<string>;
  /** Returns the metadata of a namespace at a position; `undefined` if it does not exist. */
  summaryAt(namespace: string, position: number): NamespaceSummary | undefined;
  /** Returns a namespace at a position, in a state that the caller owns; `undefined` if it does not exist. */
  stateAt(namespace: string, position: number): NamespaceState | undefined;
  /** Returns the same for a reader that neither keeps nor changes it. */
  sharedAt(namespace: string, position: number): NamespaceState | undefined;
  /** Returns the position of a namespace's last update up to a position; 0 if it has none. */
  lastChange(namespace: string, position: number): number;
  /** Releases what has not been read since the last call. */
  release(): void;
}
