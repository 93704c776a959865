import { apply } from '../../core/apply.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { type Capture, copyOf, type EntryRecord, NamespaceState, stateOfCapture } from '../../core/namespace-state.ts';
import type { Update } from '../../core/update.ts';
import type { Lineage } from '../lineage.ts';
import type { NamespaceRecord } from '../namespace-record.ts';
import type { NamespaceRegistry } from '../namespace-registry.ts';
import type { StateView } from '../past-source.ts';

type Finder = (key: string) => EntryRecord | undefined;

/** A view of given states. */
export class GivenView implements StateView {
  readonly position: number;
  readonly lineage: Lineage;
  readonly #states: ReadonlyMap<string, NamespaceState>;

  constructor(position: number, lineage: Lineage, states: ReadonlyMap<string, NamespaceState>) {
    this.position = position;
    this.lineage = lineage;
    this.#states = states;
  }

  names(): Iterable<string> {
    return this.#states.keys();
  }

  has(namespace: string): boolean {
    return this.#states.has(namespace);
  }

  state(namespace: string): NamespaceState | undefined {
    const state = this.#states.get(namespace);
    return state && copyOf(state);
  }

  finder(namespace: string): Finder {
    const entries = this.#states.get(namespace)?.entries;
    return (key) => entries?.get(key);
  }

  lastChange(namespace: string): number {
    return this.#states.get(namespace)?.position ?? 0;
  }
}

/** A view and the updates after it. */
export class FoldedView implements StateView {
  readonly position: number;
  readonly lineage: Lineage;
  readonly #base: StateView;
  #read: (() => readonly Update[]) | undefined;
  #updates: readonly Update[] = [];
  #grouped: Map<string, Update[]> | undefined;

  /**
   * `read` returns the updates from the base up to the position. Called once, when they are needed or about to be
   * released.
   */
  constructor(position: number, lineage: Lineage, base: StateView, read: () => readonly Update[]) {
    this.position = position;
    this.lineage = lineage;
    this.#base = base;
    this.#read = read;
  }

  *names(): Generator<string> {
    const updates = this.#byNamespace();
    for (const name of this.#base.names()) if (!updates.has(name)) yield name;
    for (const [name, own] of updates) if (own.at(-1)?.drop === false) yield name;
  }

  has(namespace: string): boolean {
    const last = this.#byNamespace().get(namespace)?.at(-1);
    return last === undefined ? this.#base.has(namespace) : !last.drop;
  }

  state(namespace: string): NamespaceState | undefined {
    const state = this.#base.state(namespace) ?? new NamespaceState(namespace);
    for (const update of this.#byNamespace().get(namespace) ?? []) apply(state, update);
    return state.version === 0 ? undefined : state;
  }

  finder(namespace: string): Finder | undefined {
    return this.#byNamespace().has(namespace) ? undefined : this.#base.finder(namespace);
  }

  lastChange(namespace: string): number {
    return this.#byNamespace().get(namespace)?.at(-1)?.position ?? this.#base.lastChange(namespace);
  }

  /** Copies the updates, which the log is about to release. */
  hold(): void {
    if (this.#read === undefined) return;
    this.#updates = this.#read();
    this.#read = undefined;
  }

  #byNamespace(): ReadonlyMap<string, readonly Update[]> {
    if (this.#grouped !== undefined) return this.#grouped;
    this.hold();
    const grouped = new Map<string, Update[]>();
    for (const update of this.#updates) {
      const own = grouped.get(update.namespace);
      if (own === undefined) grouped.set(update.namespace, [update]);
      else own.push(update);
    }
    this.#updates = [];
    this.#grouped = grouped;
    return grouped;
  }
}

/** Frees what a view keeps when the view is garbage, so that no caller has to release it. */
const abandoned = new FinalizationRegistry<() => void>((free) => free());

/** A view of the present. Captures a namespace just before it changes for the first time. */
export class PresentView implements StateView {
  readonly position: number;
  readonly lineage: Lineage;
  readonly #registry: NamespaceRegistry;
  /** Captures of namespaces that have changed since; version 0 means that the namespace did not exist. */
  readonly #kept = new Map<string, Capture>();
  readonly #free: () => void;
  #released = false;

  constructor(position: number, lineage: Lineage, registry: NamespaceRegistry) {
    this.position = position;
    this.lineage = lineage;
    this.#registry = registry;
    // Must not refer to the view itself, which could then never become garbage.
    const kept = this.#kept;
    const stop = registry.beforeChange(({ name, state }: NamespaceRecord) => {
      if (!kept.has(name)) kept.set(name, state.capture());
    });
    this.#free = () => {
      stop();
      for (const capture of kept.values()) capture.close();
      kept.clear();
    };
    abandoned.register(this, this.#free, this);
  }

  *names(): Generator<string> {
    this.#assertHeld();
    for (const [name, { version }] of this.#kept) if (version > 0) yield name;
    for (const [name, record] of this.#registry.entries()) {
      if (!this.#kept.has(name) && (record === null || record.state.version > 0)) yield name;
    }
  }

  has(namespace: string): boolean {
    this.#assertHeld();
    const kept = this.#kept.get(namespace);
    if (kept !== undefined) return kept.version > 0;
    const live = this.#registry.stateInMemory(namespace);
    return live === undefined ? this.#registry.has(namespace) : live.version > 0;
  }

  state(namespace: string): NamespaceState | undefined {
    if (!this.has(namespace)) return undefined;
    const kept = this.#kept.get(namespace);
    if (kept !== undefined) return stateOfCapture(kept);
    const live = this.#registry.stateInMemory(namespace);
    return live === undefined ? this.#registry.stateOnDisk(namespace) : copyOf(live);
  }

  finder(namespace: string): Finder {
    this.#assertHeld();
    const kept = this.#kept.get(namespace);
    if (kept !== undefined) return (key) => kept.get(key);
    return (key) => this.#registry.record(namespace, key);
  }

  lastChange(namespace: string): number {
    return this.has(namespace) ? (this.#kept.get(namespace)?.position ?? this.#registry.lastChange(namespace)) : 0;
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    abandoned.unregister(this);
    this.#free();
  }

  #assertHeld(): void {
    if (this.#released)
      throw new ContextCacheError('CLOSED', 'The view has been released. Ask the cache for a new one.');
  }
}
