import { ContextCacheError } from '../core/errors.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import { type EntryRecord, NamespaceState } from '../core/namespace-state.ts';
import { NameSet, NameTable } from '../core/tables/name-table.ts';
import type { JsonValue } from '../core/value.ts';
import { NamespaceRecord } from './namespace-record.ts';
import type { NamespaceSummary, StateSource, UnchangingSource } from './state-source.ts';

/** Called before a namespace changes, so that a cut can keep what it was. */
export type BeforeChange = (record: NamespaceRecord) => void;

/**
 * The namespaces there are, in memory or not. The supervisor keeps it itself, because spawning into a machine's own
 * children costs more with every child (measured: 75 s for 16,000, here 0.2 s).
 */
export class NamespaceRegistry {
  /** In memory. */
  readonly #records = new Map<string, NamespaceRecord>();
  /** In memory or out of it, but for what nobody has asked the base for. The entries of those out of it are in the source. */
  readonly #known: NameSet;
  readonly #source: StateSource | undefined;
  /** The source, where it never changes: its namespaces are known only once they are asked for. */
  readonly #base: UnchangingSource | undefined;
  /** Namespaces that were dropped; the base still has some of them. */
  readonly #dropped = new Set<string>();
  readonly #watchers = new Set<BeforeChange>();
  readonly #unreadable = new Set<string>();
  #grown: () => void = () => {};

  /** Of the namespaces of a state that follows the log, or that a branch begins with and that costs nothing now. */
  constructor(source?: StateSource, base?: UnchangingSource) {
    this.#source = source ?? base;
    this.#base = base;
    this.#known = new NameSet(source?.nameTable ?? new NameTable());
    if (source !== undefined) for (const name of source.names()) this.#known.add(name);
  }

  /** Whether namespaces are known only once they are asked for. */
  get isBranch(): boolean {
    return this.#base !== undefined;
  }

  get resident(): number {
    return this.#records.size;
  }

  /** How many namespaces are known; of a branch whose parent is shut down, how many it has touched. */
  get size(): number {
    let size = this.#known.size;
    if (this.#base?.isOpen) for (const _ of this.#untouched()) size += 1;
    return size;
  }

  /** Whether the namespace is known, without bringing it to memory. */
  has(name: string): boolean {
    return this.#lookUp(name) !== undefined;
  }

  /**
   * The record, brought to memory where it is not; `undefined` where there is no such namespace.
   *
   * @throws {ContextCacheError} where the source cannot be read: `LOG_CORRUPT`, `LOG_UNAVAILABLE`.
   */
  find(name: string): NamespaceRecord | undefined {
    try {
      const record = this.#lookUp(name);
      if (record !== null) return record;
      const found = this.put(name, this.#source?.hydrate(name) ?? new NamespaceState(name));
      this.#unreadable.delete(name);
      return found;
    } catch (error) {
      // Storage that is being mended is no matter of this namespace's; the log says so itself, and when it is over.
      const passes = error instanceof ContextCacheError && error.code === 'LOG_UNAVAILABLE';
      if (!passes) this.#unreadable.add(name);
      throw error;
    }
  }

  /** The record where it is in memory. */
  inMemory(name: string): NamespaceRecord | undefined {
    return this.#records.get(name);
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
    const grows = !this.#records.has(name);
    this.#records.set(name, record);
    this.#known.add(name);
    if (grows) this.#grown();
    return record;
  }

  /** Takes the record out of memory: to the source where that holds the namespace, else altogether. */
  release(record: NamespaceRecord): void {
    if (this.#records.get(record.name) !== record) return;
    this.#records.delete(record.name);
    if (record.state.version > 0 && this.#source !== undefined) return;
    this.#known.delete(record.name);
    if (this.#base !== undefined) this.#dropped.add(record.name);
  }

  /** How far the source has come; `undefined` without one that follows the log. */
  get checkpoint(): number | undefined {
    return this.#base === undefined ? this.#source?.checkpoint : undefined;
  }

  /** What the source holds of a namespace that is out of memory; `undefined` without a source. */
  stateOnDisk(name: string): NamespaceState | undefined {
    return this.#source === undefined ? undefined : (this.#source.hydrate(name) ?? new NamespaceState(name));
  }

  /** Whether the source holds everything of the namespace, so that memory may let go of it. */
  isOnDisk(record: NamespaceRecord): boolean {
    return this.#source !== undefined && this.#source.checkpoint >= record.state.position;
  }

  /** The value, from memory or from the source, unless it has expired. */
  value(name: string, key: string, now: () => number): JsonValue | undefined {
    const record = this.#lookUp(name);
    if (!record) return record === null ? this.entry(name, key, now)?.value : undefined;
    record.used = true;
    const { entries } = record.state;
    const slot = entries.find(key);
    if (slot < 0) return undefined;
    const expiresAt = entries.expiresAt(slot);
    return expiresAt !== Number.POSITIVE_INFINITY && expiresAt <= now() ? undefined : entries.valueAt(slot);
  }

  /** The entry, from memory or from the source, unless it has expired. */
  entry(name: string, key: string, now: () => number): EntryRecord | undefined {
    const entry = this.record(name, key);
    return entry !== undefined && entry.expiresAt !== null && entry.expiresAt <= now() ? undefined : entry;
  }

  /** The entry, expired or not. */
  record(name: string, key: string): EntryRecord | undefined {
    const record = this.#lookUp(name);
    if (record === undefined) return undefined;
    if (record === null) return this.#source?.get(name, key);
    record.used = true;
    return record.state.entries.get(key);
  }

  summary(name: string): NamespaceSummary | undefined {
    const record = this.#lookUp(name);
    if (record === undefined) return undefined;
    if (record === null) return this.#source?.summary(name);
    const { version, position, bytes, entries } = record.state;
    const next = record.state.nextExpiryAt();
    return { version, position, bytes, count: entries.size, nextExpiryAt: Number.isFinite(next) ? next : null };
  }

  /** Position of the namespace's last update; 0 where none is known. */
  lastChange(name: string): number {
    const record = this.#lookUp(name);
    if (record === null && this.#base !== undefined) return this.#base.lastChange(name);
    return record?.state.position ?? this.summary(name)?.position ?? 0;
  }

  /** What a source that follows the log knows of the namespace, as of {@link checkpoint}. */
  summaryOnDisk(name: string): NamespaceSummary | undefined {
    return this.#base === undefined ? this.#source?.summary(name) : undefined;
  }

  /** Names that are listed: `default`, and whatever has been written and not been dropped. */
  names(): string[] {
    const names = this.#known.has(DEFAULT_NAMESPACE) ? [] : [DEFAULT_NAMESPACE];
    for (const name of this.#known.names()) {
      if (this.#records.get(name)?.state.version !== 0 || name === DEFAULT_NAMESPACE) names.push(name);
    }
    for (const name of this.#untouched()) if (name !== DEFAULT_NAMESPACE) names.push(name);
    return names;
  }

  /** Records in memory. Do not keep it over an `await`: what leaves memory and comes back comes up again. */
  records(): IterableIterator<NamespaceRecord> {
    return this.#records.values();
  }

  /** Every name and, where it is in memory, its record; may be changed while it is walked. */
  *entries(): Generator<readonly [string, NamespaceRecord | null]> {
    // The base first: what of it is touched meanwhile is then met as it is, and what comes beside it is met last.
    for (const name of this.#base?.names() ?? []) {
      const record = this.#lookUp(name);
      if (record !== undefined) yield [name, record];
    }
    for (const name of this.#known.names()) {
      if (!this.#base?.has(name)) yield [name, this.#records.get(name) ?? null];
    }
  }

  /** For whoever changes a namespace: call it before. */
  aboutToChange(record: NamespaceRecord): void {
    if (this.#watchers.size > 0) for (const watcher of this.#watchers) watcher(record);
  }

  /** Calls back when one more namespace is in memory. One listener. */
  onGrown(listener: () => void): void {
    this.#grown = listener;
  }

  #lookUp(name: string): NamespaceRecord | null | undefined {
    const record = this.#records.get(name);
    if (record !== undefined) return record;
    // Where all are in memory there is none to be looked up.
    if (this.#known.size > this.#records.size && this.#known.has(name)) return null;
    return this.#base !== undefined && !this.#dropped.has(name) && this.#base.has(name) ? null : undefined;
  }

  /** Names of the base that nobody has asked for, or that have left memory as they were. */
  *#untouched(): Generator<string> {
    for (const name of this.#base?.names() ?? []) {
      if (!this.#known.has(name) && !this.#dropped.has(name)) yield name;
    }
  }

  /** Calls back before any namespace changes. Returns how to stop. */
  beforeChange(watcher: BeforeChange): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}
