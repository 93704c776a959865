import type { NamespaceRecord } from '../actors/namespace-record.ts';
import type { NamespaceRegistry } from '../actors/namespace-registry.ts';
import { apply } from '../core/apply.ts';
import { ContextCacheError } from '../core/errors.ts';
import { NamespaceState } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import { beforeThePast, beyondTheLog } from '../log/log-errors.ts';
import type { MemoryLog } from '../log/memory-log.ts';
import type { Moment, PastSource } from '../log/past-source.ts';

type States = ReadonlyMap<string, NamespaceState>;

/**
 * The past of a cache in memory: of the log, while that still holds everything since it began. After that only the
 * present can be seen.
 */
export class MemoryPast implements PastSource {
  readonly #log: MemoryLog;
  readonly #registry: NamespaceRegistry;
  readonly #keepsValues: boolean;
  /** The log's begin: where it was empty, or what a restored snapshot held. */
  readonly #begin: number;
  /** The state there; `undefined` once the log has let go of what comes after it. */
  #base: States | undefined;

  /**
   * The registry is as of the log's head, before anything is appended; `keepsValues`: and holds the values, which a
   * primary of the user's own else does.
   */
  constructor(log: MemoryLog, registry: NamespaceRegistry, keepsValues: boolean) {
    this.#log = log;
    this.#registry = registry;
    this.#keepsValues = keepsValues;
    this.#begin = log.head;
    this.#base = new Map(Array.from(registry.records(), ({ name, state }) => [name, copyOf(state)]));
    if (this.#base.size === 0) return;
    // Not kept longer than it is of use.
    const stop = log.onCommit(() => {
      if (log.first > this.#begin + 1) {
        this.#base = undefined;
        stop();
      }
    });
  }

  get first(): number {
    return this.#isWhole ? this.#begin : this.#log.head;
  }

  at(position: number): Moment {
    const { head } = this.#log;
    if (position > head) throw beyondTheLog(position, head);
    if (position < this.#begin) throw beforeThePast(position, this.#begin);
    if (this.#isWhole && this.#base !== undefined) {
      return new FoldedMoment(position, this.#base, this.#log.recent(this.#begin + 1, position));
    }
    if (position === head && this.#keepsValues) return new PresentMoment(position, this.#registry);
    throw this.#gone(position);
  }

  positionAt(instant: number): number {
    const { first, head } = this.#log;
    const later = this.#log.recent(first, head).find(({ at }) => at > instant);
    if (later === undefined) return head;
    // What the log has let go of may hold a later instant, too.
    if (!this.#isWhole) throw this.#gone(later.position - 1);
    return later.position - 1;
  }

  *backwards(namespace: string): Generator<Update> {
    const { first, head } = this.#log;
    for (const update of this.#log.recent(first, head).reverse()) if (update.namespace === namespace) yield update;
  }

  get #isWhole(): boolean {
    return this.#log.first === this.#begin + 1;
  }

  #gone(position: number): ContextCacheError {
    return new ContextCacheError(
      'POSITION_UNAVAILABLE',
      `The state at position ${position} can not be told any more: the log in memory has let go of what came before ` +
        `${this.#log.first}. Open the cache with a data directory (dataDir), or raise log.capacityUpdates.`,
    );
  }
}

/** A state and what came after it. */
class FoldedMoment implements Moment {
  readonly position: number;
  readonly #base: States;
  readonly #updates = new Map<string, Update[]>();

  constructor(position: number, base: States, updates: readonly Update[]) {
    this.position = position;
    this.#base = base;
    for (const update of updates) {
      const own = this.#updates.get(update.namespace);
      if (own === undefined) this.#updates.set(update.namespace, [update]);
      else own.push(update);
    }
  }

  *names(): Generator<string> {
    for (const name of this.#base.keys()) if (!this.#updates.has(name)) yield name;
    for (const [name, own] of this.#updates) if (own.at(-1)?.drop === false) yield name;
  }

  state(namespace: string): NamespaceState | undefined {
    const base = this.#base.get(namespace);
    const state = base === undefined ? new NamespaceState(namespace) : copyOf(base);
    for (const update of this.#updates.get(namespace) ?? []) apply(state, update);
    return state.version === 0 ? undefined : state;
  }

  lastChange(namespace: string): number {
    return this.#updates.get(namespace)?.at(-1)?.position ?? this.#base.get(namespace)?.position ?? 0;
  }
}

/** The present, kept: a namespace is copied before it changes for the first time. */
class PresentMoment implements Moment {
  readonly position: number;
  readonly #registry: NamespaceRegistry;
  readonly #kept = new Map<string, NamespaceState>();

  constructor(position: number, registry: NamespaceRegistry) {
    this.position = position;
    this.#registry = registry;
    // Nobody has to say that the moment is no longer wanted: it is let go of like any other object.
    const self = new WeakRef(this);
    const stop = registry.beforeChange((record) => {
      const moment = self.deref();
      if (moment === undefined) stop();
      else moment.#keep(record);
    });
  }

  *names(): Generator<string> {
    for (const [name, state] of this.#kept) if (state.version > 0) yield name;
    for (const { name, state } of this.#registry.records()) if (!this.#kept.has(name) && state.version > 0) yield name;
  }

  state(namespace: string): NamespaceState | undefined {
    const kept = this.#kept.get(namespace);
    const live = this.#registry.stateInMemory(namespace);
    const state = kept ?? (live && live.position <= this.position ? live : undefined);
    return state === undefined || state.version === 0 ? undefined : copyOf(state);
  }

  lastChange(namespace: string): number {
    return this.state(namespace)?.position ?? 0;
  }

  #keep({ name, state }: NamespaceRecord): void {
    if (!this.#kept.has(name)) this.#kept.set(name, copyOf(state));
  }
}

function copyOf({ name, version, position, entries }: NamespaceState): NamespaceState {
  const state = new NamespaceState(name);
  for (const [key, entry] of entries) state.put(key, entry);
  state.version = version;
  state.position = position;
  return state;
}
