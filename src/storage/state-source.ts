import type { EntryRecord, NamespaceState } from '../core/namespace-state.ts';
import type { NameTable } from '../core/tables/name-table.ts';

/** Metadata of a namespace, available without reading its entries. */
export interface NamespaceSummary {
  readonly version: number;
  /** Position of its last update. */
  readonly position: number;
  /** Number of entries. */
  readonly count: number;
  /** Estimated bytes of its values. */
  readonly bytes: number;
  /** Earliest instant at which an entry expires, epoch milliseconds; `null` if none does. */
  readonly nextExpiryAt: number | null;
  /**
   * Digest of all entries, see `core/encoding/digest.ts`; `undefined` if the namespace has not changed since a version
   * without digests wrote it.
   */
  readonly digest?: string | undefined;
}

/** State on disk as of `checkpoint`, read synchronously. Namespaces that are not in memory are read from it. */
export interface StateSource {
  /** The state is the fold of the log up to this position. */
  readonly checkpoint: number;
  /** The table in which it keeps the names, for a user that shares them. */
  readonly nameTable?: NameTable;
  /** Iterates over all namespaces. */
  names(): Iterable<string>;
  summary(namespace: string): NamespaceSummary | undefined;
  get(namespace: string, key: string): EntryRecord | undefined;
  /** Reads a whole namespace into a state that the caller owns; `undefined` if the namespace does not exist. */
  hydrate(namespace: string): NamespaceState | undefined;
}

/** A state that never changes and whose namespaces are looked up one by one: the base of a branch. */
export interface UnchangingSource extends StateSource {
  /** `false` once it can no longer be read, because the cache that it was taken from is shut down. */
  readonly isOpen: boolean;
  has(namespace: string): boolean;
  /** Returns the position of the namespace's last update, or 0 if it is not known. */
  lastChange(namespace: string): number;
}

/** Returns the metadata of a state. */
export function summaryOf(state: NamespaceState | undefined): NamespaceSummary | undefined {
  if (state === undefined) return undefined;
  const next = state.nextExpiryAt();
  const { version, position, bytes, entries } = state;
  return {
    version,
    position,
    count: entries.size,
    bytes,
    nextExpiryAt: next === Number.POSITIVE_INFINITY ? null : next,
  };
}
