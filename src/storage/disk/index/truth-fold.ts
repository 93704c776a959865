import { apply } from '../../../core/apply.ts';
import { copyOf, filled, NamespaceState } from '../../../core/namespace-state.ts';
import type { Update } from '../../../core/update.ts';
import { type NamespaceSummary, summaryOf } from '../../state-source.ts';
import type { BaseNamespace } from '../log/logged-update.ts';

/** Base and log up to a position. */
export interface FoldSource {
  base(): Iterable<BaseNamespace>;
  updates(): Iterable<Update>;
}

/** Estimated bytes of an entry without its value. */
const ENTRY_BYTES = 128;

/**
 * The state at one position, folded from base and log. One pass folds the namespace that is wanted and as many of the
 * next ones as fit the budget, so that a reader who goes through all namespaces needs few passes. The metadata of what was
 * folded is kept.
 */
export class TruthFold {
  readonly #source: FoldSource;
  readonly #budget: number;
  readonly #summaries = new Map<string, NamespaceSummary | undefined>();
  /** The namespaces that exist, and the last changes of these and others; `undefined` before the first pass. */
  #known: Known | undefined;
  /** The states of the last pass. */
  #states = new Map<string, NamespaceState>();

  constructor(source: FoldSource, budget: number) {
    this.#source = source;
    this.#budget = budget;
  }

  get names(): Iterable<string> {
    return this.#everything().names;
  }

  /** Returns the position of the namespace's last update, which may have dropped it; 0 if it has none. */
  lastChange(namespace: string): number {
    return this.#everything().lastChanges.get(namespace) ?? 0;
  }

  summary(namespace: string): NamespaceSummary | undefined {
    if (!this.#mayExist(namespace)) return undefined;
    if (!this.#summaries.has(namespace)) this.#pass(namespace);
    return this.#summaries.get(namespace);
  }

  /** Returns a state that the caller must not change. */
  shared(namespace: string): NamespaceState | undefined {
    if (!this.#mayExist(namespace)) return undefined;
    return this.#states.get(namespace) ?? this.#pass(namespace);
  }

  /** Returns a state that the caller owns. */
  state(namespace: string): NamespaceState | undefined {
    const state = this.shared(namespace);
    return state !== undefined && this.#states.get(namespace) === state ? copyOf(state) : state;
  }

  #mayExist(namespace: string): boolean {
    return this.#known === undefined || this.#known.names.has(namespace);
  }

  #everything(): Known {
    if (this.#known === undefined) this.#pass(undefined);
    return this.#known as Known;
  }

  /** Goes through base and log once. Returns the state of the wanted namespace. */
  #pass(wanted: string | undefined): NamespaceState | undefined {
    this.#states.clear();
    const pass = new Pass(this.#orderFrom(wanted), this.#budget);
    for (const namespace of this.#source.base()) pass.takeBase(namespace);
    for (const update of this.#source.updates()) pass.take(update);
    this.#known = { names: pass.names, lastChanges: pass.lastChanges };
    for (const [name, state] of pass.states) {
      if (!this.#summaries.has(name)) this.#summaries.set(name, summaryOf(state));
    }
    // A namespace that is larger than the budget is not kept.
    if (pass.bytes <= this.#budget) this.#states = pass.states;
    return wanted === undefined ? undefined : pass.states.get(wanted);
  }

  /** Returns the names that are known, in the order in which they are likely to be read next. */
  #orderFrom(wanted: string | undefined): string[] {
    if (wanted === undefined) return [];
    const names = [...(this.#known?.names ?? [])];
    const index = names.indexOf(wanted);
    return index === -1 ? [wanted] : [...names.slice(index), ...names.slice(0, index)];
  }
}

/** What one pass finds out about all namespaces. */
type Known = Pick<Pass, 'names' | 'lastChanges'>;

/** One pass through base and log. */
class Pass {
  readonly names = new Set<string>();
  /** Positions of the last updates, also of namespaces that were dropped. */
  readonly lastChanges = new Map<string, number>();
  readonly states = new Map<string, NamespaceState>();
  /** Estimated bytes of the states. */
  bytes = 0;
  readonly #wanted: string | undefined;
  readonly #budget: number;
  /** The namespaces that are folded. The last ones are left out as the others grow. */
  readonly #order: string[];
  readonly #folded: Set<string>;
  /** `true` once one was left out: no other one takes its place. */
  #isFull = false;

  /** `order`: the namespaces to be folded before others, the wanted one first. */
  constructor(order: string[], budget: number) {
    this.#wanted = order[0];
    this.#budget = budget;
    this.#order = order;
    this.#folded = new Set(order);
  }

  takeBase(namespace: BaseNamespace): void {
    const { name, position } = namespace;
    this.names.add(name);
    this.lastChanges.set(name, position);
    if (!this.#isFolded(name)) return;
    const state = filled(namespace);
    this.states.set(name, state);
    this.#grow(sizeOf(state));
  }

  take(update: Update): void {
    const { namespace, drop, position } = update;
    this.lastChanges.set(namespace, position);
    if (drop) this.names.delete(namespace);
    else this.names.add(namespace);
    if (!this.#isFolded(namespace)) return;
    const known = this.states.get(namespace);
    const state = known ?? new NamespaceState(namespace);
    const before = known === undefined ? 0 : sizeOf(known);
    try {
      apply(state, update);
    } catch (error) {
      // Its updates do not follow each other, which concerns the readers of this namespace alone.
      if (namespace === this.#wanted) throw error;
      this.#leave(namespace);
      return;
    }
    if (drop) this.states.delete(namespace);
    else this.states.set(namespace, state);
    this.#grow((drop ? 0 : sizeOf(state)) - before);
  }

  #isFolded(name: string): boolean {
    if (this.#folded.has(name)) return true;
    if (this.#isFull) return false;
    this.#order.push(name);
    this.#folded.add(name);
    return true;
  }

  /** Leaves out the last namespaces until the others fit. The first one, which is wanted, stays in any case. */
  #grow(bytes: number): void {
    this.bytes += bytes;
    while (this.bytes > this.#budget && this.#order.length > 1) this.#leave(this.#order.pop() as string);
  }

  #leave(name: string): void {
    const state = this.states.get(name);
    if (state !== undefined) this.bytes -= sizeOf(state);
    this.states.delete(name);
    this.#folded.delete(name);
    this.#isFull = true;
  }
}

function sizeOf({ name, bytes, entries }: NamespaceState): number {
  return 2 * ENTRY_BYTES + 2 * name.length + bytes + ENTRY_BYTES * entries.size;
}
