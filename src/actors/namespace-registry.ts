import { DEFAULT_NAMESPACE } from '../core/names.ts';
import { type EntryRecord, NamespaceState } from '../core/namespace-state.ts';
import type { NamespaceSummary, StateSource } from '../log/state-source.ts';
import { NamespaceRecord } from './namespace-record.ts';

/** Called before a namespace changes, so that a cut can keep what it was. */
export type BeforeChange = (record: NamespaceRecord) => void;

/**
 * The namespaces there are, in memory or not. The supervisor keeps it itself, because spawning into a machine's own
 * children costs more with every child (measured: 75 s for 16,000, here 0.2 s).
 */
export class NamespaceRegistry {
  /** `null`: out of memory; its entries are in the source. */
  readonly #records = new Map<string, NamespaceRecord | null>();
  readonly #source: StateSource | undefined;
  readonly #watchers = new Set<BeforeChange>();
  readonly #unreadable = new Set<string>();
  #resident = 0;
  #grown: () => void = () => {};

  constructor(source?: StateSource) {
    this.#source = source;
    if (source !== undefined) for (const name of source.names()) this.#records.set(name, null);
  }

  get resident(): number {
    return this.#resident;
  }

  get size(): number {
    return this.#records.size;
  }

  /** Whether the namespace is known, without bringing it to memory. */
  has(name: string): boolean {
    return this.#records.has(name);
  }

  /**
   * The record, brought to memory where it is not; `undefined` where there is no such namespace.
   *
   * @throws {ContextCacheError} where the source cannot be read: `LOG_CORRUPT`, `LOG_UNAVAILABLE`.
   */
  find(name: string): NamespaceRecord | undefined {
    const record = this.#records.get(name);
    if (record !== null) return record;
    try {
      const found = this.put(name, this.#source?.hydrate(name) ?? new NamespaceState(name));
      this.#unreadable.delete(name);
      return found;
    } catch (error) {
      this.#unreadable.add(name);
      throw error;
    }
  }

  /** The record where it is in memory. */
  inMemory(name: string): NamespaceRecord | undefined {
    return this.#records.get(name) ?? undefined;
  }

  /** Names of namespaces that could not be brought to memory when that was last tried. */
  get unreadable(): ReadonlySet<string> {
    return this.#unreadable;
  }

  /** The state where it is in memory. */
  stateInMemory(name: string): NamespaceState | undefined {
    return this.#records.get(name)?.state;
  }

  /** Puts a state in memory. */
  put(name: string, state: NamespaceState): NamespaceRecord {
    const record = new NamespaceRecord(name, state);
    const grows = !this.#records.get(name);
    this.#records.set(name, record);
    if (grows) {
      this.#resident += 1;
      this.#grown();
    }
    return record;
  }

  /** Takes the record out of memory: to the source where that holds the namespace, else altogether. */
  release(record: NamespaceRecord): void {
    if (this.#records.get(record.name) !== record) return;
    this.#resident -= 1;
    if (record.state.version > 0 && this.#source !== undefined) this.#records.set(record.name, null);
    else this.#records.delete(record.name);
  }

  /** How far the source has come; `undefined` without one. */
  get checkpoint(): number | undefined {
    return this.#source?.checkpoint;
  }

  /** What the source holds of the namespace, as of {@link checkpoint}; `undefined` without a source. */
  stateOnDisk(name: string): NamespaceState | undefined {
    return this.#source === undefined ? undefined : (this.#source.hydrate(name) ?? new NamespaceState(name));
  }

  /** Whether the source holds everything of the namespace, so that memory may let go of it. */
  isOnDisk(record: NamespaceRecord): boolean {
    return this.#source !== undefined && this.#source.checkpoint >= record.state.position;
  }

  /** The entry, from memory or from the source, unless it has expired. */
  entry(name: string, key: string, now: () => number): EntryRecord | undefined {
    const record = this.#records.get(name);
    if (record === undefined) return undefined;
    if (record !== null) record.used = true;
    const entry = record === null ? this.#source?.get(name, key) : record.state.entries.get(key);
    return entry !== undefined && entry.expiresAt !== null && entry.expiresAt <= now() ? undefined : entry;
  }

  summary(name: string): NamespaceSummary | undefined {
    const record = this.#records.get(name);
    if (record === undefined) return undefined;
    if (record === null) return this.#source?.summary(name);
    const { version, position, bytes, entries } = record.state;
    const next = record.state.nextExpiryAt();
    return { version, position, bytes, count: entries.size, nextExpiryAt: Number.isFinite(next) ? next : null };
  }

  /** Names that are listed: `default`, and whatever has been written and not been dropped. */
  names(): string[] {
    const names = this.#records.has(DEFAULT_NAMESPACE) ? [] : [DEFAULT_NAMESPACE];
    for (const [name, record] of this.#records) {
      if (record === null || record.state.version > 0 || name === DEFAULT_NAMESPACE) names.push(name);
    }
    return names;
  }

  /** Records in memory. */
  *records(): Generator<NamespaceRecord> {
    for (const record of this.#records.values()) if (record !== null) yield record;
  }

  /** Every name and, where it is in memory, its record; may be changed while it is walked. */
  entries(): IterableIterator<[string, NamespaceRecord | null]> {
    return this.#records.entries();
  }

  /** For whoever changes a namespace: call it before. */
  aboutToChange(record: NamespaceRecord): void {
    if (this.#watchers.size > 0) for (const watcher of this.#watchers) watcher(record);
  }

  /** Calls back when one more namespace is in memory. One listener. */
  onGrown(listener: () => void): void {
    this.#grown = listener;
  }

  /** Calls back before any namespace changes. Returns how to stop. */
  beforeChange(watcher: BeforeChange): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}
