import type { EntryRecord, NamespaceState } from '../core/namespace-state.ts';

/** What is known of a namespace without reading its entries. */
export interface NamespaceSummary {
  readonly version: number;
  /** Position of its last update. */
  readonly position: number;
  /** Number of entries. */
  readonly count: number;
  /** Estimated bytes of its values. */
  readonly bytes: number;
  /** When its next entry expires, at the earliest; `null`: never. */
  readonly nextExpiryAt: number | null;
}

/** State on disk, as of `checkpoint`, readable at once: where namespaces that are out of memory come from. */
export interface StateSource {
  /** The state is the fold of the log up to this position. */
  readonly checkpoint: number;
  /** The namespaces there are. */
  names(): Iterable<string>;
  summary(namespace: string): NamespaceSummary | undefined;
  get(namespace: string, key: string): EntryRecord | undefined;
  /** All of it, in a state of its own. */
  hydrate(namespace: string): NamespaceState | undefined;
}
