import type { EntryRecord, NamespaceState } from '../core/namespace-state.ts';
import type { NameTable } from '../core/tables/name-table.ts';

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
  /** See `core/digest.ts`; `undefined` where it was written before there were digests and has not changed since. */
  readonly digest?: string | undefined;
}

/** State on disk, as of `checkpoint`, readable at once: where namespaces that are out of memory come from. */
export interface StateSource {
  /** The state is the fold of the log up to this position. */
  readonly checkpoint: number;
  /** Where it keeps names, for one who keeps the same ones. */
  readonly nameTable?: NameTable;
  /** The namespaces there are. */
  names(): Iterable<string>;
  summary(namespace: string): NamespaceSummary | undefined;
  get(namespace: string, key: string): EntryRecord | undefined;
  /** All of it, in a state of its own. */
  hydrate(namespace: string): NamespaceState | undefined;
}

/** A state that stays as it is, and whose namespaces need not all be known to use one: what a branch begins with. */
export interface UnchangingSource extends StateSource {
  /** Whether it can be read now: what it is taken from may have been shut down. */
  readonly isOpen: boolean;
  has(namespace: string): boolean;
  /** Position of the namespace's last update; 0 where none is known. */
  lastChange(namespace: string): number;
}
