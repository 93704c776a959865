import { apply } from '../core/apply.ts';
import { ContextCacheError } from '../core/errors.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import { copyOf, type EntryRecord, NamespaceState } from '../core/namespace-state.ts';
import { NameOrder } from '../core/tables/name-order.ts';
import { NameSet, NameTable } from '../core/tables/name-table.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import { NamespaceRecord } from './namespace-record.ts';
import type { NamespaceSummary, StateSource, UnchangingSource } from './state-source.ts';

/** Called before a namespace changes, so that a capture or a view can keep the state before the change. */
export type BeforeChange = (record: NamespaceRecord) => void;

/**
 * All known namespaces, in memory or not. The supervisor keeps this table itself, because spawning actors as children
 * of a machine costs more with every child (measured: 75 s for 16,000 namespaces, 0.2 s here).
 */
export class NamespaceRegistry {
  /** The namespaces in memory. */
  readonly #records = new Map<string, NamespaceRecord>();
  /**
   * All known names, in memory or not. Excludes names that exist only in a branch's base and were never looked up. The
   * entries of a namespace that is not in memory are in the source.
   */
  readonly #known: NameSet;
  readonly #source: StateSource | undefined;
  /** The source if it never changes. Its namespaces become known only when they are looked up. */
  readonly #base: UnchangingSource | undefined;
  /** Dropped namespaces, some of which the base still contains. */
  readonly #dropped = new Set<string>();
  readonly #watchers = new Set<BeforeChange>();
  readonly #unreadable = new Set<string>();
  readonly #unapplied = new Map<NamespaceRecord, readonly Update[]>();
  #grown: () => void = () => {};
  /**
   * All names that may be listed, in order, and those of namespaces that do not exist yet or no longer. Created when a
   * reader first asks for it.
   */
  #order: NameOrder | undefined;

  /**
   * Starts with the namespaces of `source`, a state that follows the log, or with those of `base`, which a branch
   * starts from and which costs nothing until it is read.
   */
  constructor(source?: StateSource, base?: UnchangingSource) {
    this.#source = source ?? base;
    this.#base = base;
    this.#known = new NameSet(source?.nameTable ?? new NameTable());
    if (source !== undefined) for (const name of source.names()) this.#known.add(name);
  }

  /** `true` if namespaces become known only when they are looked up. */
  get isBranch(): boolean {
    return this.#base !== undefined;
  }

  get resident(): number {
    return this.#records.size;
  }

  /** Number of known namespaces. For a branch whose parent is shut down: the number of those it has touched. */
  get size(): number {
    let size = this.#known.size;
    if (this.#base?.isOpen) for (const _ of this.#untouched()) size += 1;
    return size;
  }

  /** Number of known namespaces; of a branch, of those it has touched. */
  get known(): number {
    return this.#known.size;
  }

  /** Returns whether {@link NamespaceRegistry.known} counts the namespace. */
  isKnown(name: string): boolean {
    return this.#known.has(name);
  }

  /** Returns whether the namespace exists, without bringing it into memory. */
  has(name: string): boolean {
    return this.#lookUp(name) !== undefined;
  }

  /**
   * Returns the record, after bringing it into memory if needed; `undefined` if the namespace does not exist.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` or `LOG_UNAVAILABLE` if the source cannot be read.
   */
  find(name: string): NamespaceRecord | undefined {
    return this.#records.get(name) ?? this.#bring(name);
  }

  #bring(name: string): NamespaceRecord | undefined {
    try {
      const record = this.#lookUp(name);
      if (record !== null) return record;
      const found = this.put(name, this.#source?.hydrate(name) ?? new NamespaceState(name));
      this.#unreadable.delete(name);
      return found;
    } catch (error) {
      // `LOG_UNAVAILABLE` is temporary and the log reports it, so the namespace is not marked unreadable.
      const passes = error instanceof ContextCacheError && error.code === 'LOG_UNAVAILABLE';
      if (!passes) this.#unreadable.add(name);
      throw error;
    }
  }

  /** Returns the record if it is in memory. */
  inMemory(name: string): NamespaceRecord | undefined {
    return this.#records.get(name);
  }

  /** Names of the namespaces whose last attempt to be brought into memory failed. */
  get unreadable(): ReadonlySet<string> {
    return this.#unreadable;
  }

  /** Returns the state if it is in memory. */
  stateInMemory(name: string): NamespaceState | undefined {
    return this.#records.get(name)?.state;
  }

  /** Puts a state into memory. */
  put(name: string, state: NamespaceState): NamespaceRecord {
    const record = new NamespaceRecord(name, state);
    const grows = !this.#records.has(name);
    this.#records.set(name, record);
    this.#known.add(name);
    this.#order?.add(name);
    if (grows) this.#grown();
    return record;
  }

  /** Takes the record out of memory. Forgets the namespace altogether if the source does not hold it. */
  release(record: NamespaceRecord): void {
    if (this.#records.get(record.name) !== record) return;
    this.#records.delete(record.name);
    if (record.state.version > 0 && this.#source !== undefined) return;
    this.#known.delete(record.name);
    // Only a namespace of the base could reappear. A closed base cannot be asked.
    if (this.#base !== undefined && (!this.#base.isOpen || this.#base.has(record.name))) this.#dropped.add(record.name);
    if (record.name !== DEFAULT_NAMESPACE) this.#order?.delete(record.name);
  }

  /** Position up to which the source follows the log; `undefined` without such a source. */
  get checkpoint(): number | undefined {
    return this.#base === undefined ? this.#source?.checkpoint : undefined;
  }

  /** Reads a namespace that is not in memory from the source; `undefined` without a source. */
  stateOnDisk(name: string): NamespaceState | undefined {
    return this.#source === undefined ? undefined : (this.#source.hydrate(name) ?? new NamespaceState(name));
  }

  /** Returns whether the source holds the namespace's latest state, so that the memory can be released. */
  isOnDisk(record: NamespaceRecord): boolean {
    return this.#source !== undefined && this.#source.checkpoint >= record.state.position;
  }

  /** Returns the value, from memory or from the source, unless it has expired. */
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

  /** Returns the entry, from memory or from the source, unless it has expired. */
  entry(name: string, key: string, now: () => number): EntryRecord | undefined {
    const entry = this.record(name, key);
    return entry !== undefined && entry.expiresAt !== null && entry.expiresAt <= now() ? undefined : entry;
  }

  /** Returns the entry, expired or not. */
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

  /** Returns the position of the namespace's last update, or 0 if it is not known. */
  lastChange(name: string): number {
    const record = this.#lookUp(name);
    if (record === null && this.#base !== undefined) return this.#base.lastChange(name);
    return record?.state.position ?? this.summary(name)?.position ?? 0;
  }

  /** Returns the source's metadata of the namespace as of {@link checkpoint}, if the source follows the log. */
  summaryOnDisk(name: string): NamespaceSummary | undefined {
    return this.#base === undefined ? this.#source?.summary(name) : undefined;
  }

  /** Returns the names that are listed: `default`, and every namespace that was written and not dropped. */
  names(): string[] {
    const names = this.#known.has(DEFAULT_NAMESPACE) ? [] : [DEFAULT_NAMESPACE];
    for (const name of this.#known.names()) {
      if (this.#records.get(name)?.state.version !== 0 || name === DEFAULT_NAMESPACE) names.push(name);
    }
    for (const name of this.#untouched()) if (name !== DEFAULT_NAMESPACE) names.push(name);
    return names;
  }

  /**
   * Returns an index of all names in order, of which {@link isListed} tells those that are listed. The first call sorts
   * the names.
   */
  get order(): NameOrder {
    this.#order ??= new NameOrder(new Set([DEFAULT_NAMESPACE, ...this.#known.names(), ...this.#untouched()]));
    return this.#order;
  }

  /** Returns whether {@link names} has the name. */
  isListed(name: string): boolean {
    if (name === DEFAULT_NAMESPACE) return true;
    const record = this.#lookUp(name);
    return record === null || (record !== undefined && record.state.version !== 0);
  }

  /** Keeps updates that the log has taken and the state of a crashed namespace does not show yet; none: forgets them. */
  leaveUnapplied(record: NamespaceRecord, updates: readonly Update[]): void {
    if (updates.length === 0) this.#unapplied.delete(record);
    else this.#unapplied.set(record, updates);
  }

  /**
   * Returns the state with everything the log has taken: of a crashed namespace a copy.
   *
   * @throws {ContextCacheError} `INVARIANT` if its updates do not follow its state.
   */
  caughtUp(record: NamespaceRecord): NamespaceState {
    const unapplied = this.#unapplied.get(record);
    if (unapplied === undefined) return record.state;
    const state = copyOf(record.state);
    for (const update of unapplied) if (update.position > state.position) apply(state, update);
    return state;
  }

  /**
   * Iterates over the records in memory. Must not be used across an `await`: a record that leaves memory and comes back
   * would be visited again.
   */
  records(): IterableIterator<NamespaceRecord> {
    return this.#records.values();
  }

  /** Iterates over every name, with its record if it is in memory. The registry may change meanwhile. */
  *entries(): Generator<readonly [string, NamespaceRecord | null]> {
    // Visits the base first: a namespace of the base that is touched meanwhile is still visited once, with its record,
    // and a new one is visited last.
    for (const name of this.#base?.names() ?? []) {
      const record = this.#lookUp(name);
      if (record !== undefined) yield [name, record];
    }
    for (const name of this.#known.names()) {
      if (!this.#base?.has(name)) yield [name, this.#records.get(name) ?? null];
    }
  }

  /** Must be called before a namespace is changed. */
  aboutToChange(record: NamespaceRecord): void {
    if (this.#watchers.size > 0) this.#announce(record);
  }

  #announce(record: NamespaceRecord): void {
    for (const watcher of this.#watchers) watcher(record);
  }

  /** Registers the only listener, called when one more namespace is in memory. */
  onGrown(listener: () => void): void {
    this.#grown = listener;
  }

  #lookUp(name: string): NamespaceRecord | null | undefined {
    const record = this.#records.get(name);
    if (record !== undefined) return record;
    // If all namespaces are in memory, this name is not among them.
    if (this.#known.size > this.#records.size && this.#known.has(name)) return null;
    return this.#base !== undefined && !this.#dropped.has(name) && this.#base.has(name) ? null : undefined;
  }

  /** Names of the base that were never looked up, or that left memory unchanged. */
  *#untouched(): Generator<string> {
    for (const name of this.#base?.names() ?? []) {
      if (!this.#known.has(name) && !this.#dropped.has(name)) yield name;
    }
  }

  /** Calls the watcher before any namespace changes. Returns a function that stops it. */
  beforeChange(watcher: BeforeChange): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}
