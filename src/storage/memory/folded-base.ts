import { apply } from '../../core/apply.ts';
import { copyOf, type EntryRecord, NamespaceState } from '../../core/namespace-state.ts';
import type { Update } from '../../core/update.ts';
import type { Lineage } from '../lineage.ts';
import type { StateView } from '../past-source.ts';

/** Namespaces that have changed; `undefined` for a dropped one. */
type Changed = ReadonlyMap<string, NamespaceState | undefined>;

/** The state at the start of a log in memory. Folds in what the log releases. */
export class FoldedBase {
  /** Latest instant of the updates that were folded in, epoch milliseconds. */
  latest = Number.NEGATIVE_INFINITY;
  readonly #below: StateView;
  #position: number;
  #changed = new Map<string, NamespaceState | undefined>();
  /** Namespaces whose state belongs to this object alone and can be changed in place. */
  readonly #own = new Set<string>();
  /** `true` if a view uses `#changed`: it must then be copied before the next change. */
  #shared = false;

  constructor(below: StateView) {
    this.#below = below;
    this.#position = below.position;
  }

  /** Returns a view of the present state. */
  view(): StateView {
    this.#shared = true;
    return new ChangedView(this.#position, this.#below, this.#changed);
  }

  fold(update: Update): void {
    const { namespace, at, drop, position } = update;
    this.latest = Math.max(this.latest, at);
    this.#position = position;
    if (this.#shared) {
      this.#changed = new Map(this.#changed);
      this.#own.clear();
      this.#shared = false;
    }
    apply(this.#ownState(namespace), update);
    if (!drop) return;
    // A dropped namespace leaves a mark only if it would show through from below.
    if (this.#below.has(namespace)) this.#changed.set(namespace, undefined);
    else this.#changed.delete(namespace);
    this.#own.delete(namespace);
  }

  #ownState(namespace: string): NamespaceState {
    const known = this.#changed.get(namespace);
    if (known !== undefined && this.#own.has(namespace)) return known;
    const before = this.#changed.has(namespace) ? known && copyOf(known) : this.#below.state(namespace);
    const state = before ?? new NamespaceState(namespace);
    this.#changed.set(namespace, state);
    this.#own.add(namespace);
    return state;
  }
}

/** A view, and the namespaces that have changed since. */
class ChangedView implements StateView {
  readonly position: number;
  readonly lineage: Lineage;
  readonly #below: StateView;
  readonly #changed: Changed;

  constructor(position: number, below: StateView, changed: Changed) {
    this.position = position;
    this.lineage = below.lineage;
    this.#below = below;
    this.#changed = changed;
  }

  *names(): Generator<string> {
    for (const name of this.#below.names()) if (!this.#changed.has(name)) yield name;
    for (const [name, state] of this.#changed) if (state !== undefined) yield name;
  }

  has(namespace: string): boolean {
    return this.#changed.has(namespace) ? this.#changed.get(namespace) !== undefined : this.#below.has(namespace);
  }

  state(namespace: string): NamespaceState | undefined {
    if (!this.#changed.has(namespace)) return this.#below.state(namespace);
    const state = this.#changed.get(namespace);
    return state && copyOf(state);
  }

  finder(namespace: string): ((key: string) => EntryRecord | undefined) | undefined {
    if (!this.#changed.has(namespace)) return this.#below.finder(namespace);
    const entries = this.#changed.get(namespace)?.entries;
    return (key) => entries?.get(key);
  }

  lastChange(namespace: string): number {
    if (!this.#changed.has(namespace)) return this.#below.lastChange(namespace);
    return this.#changed.get(namespace)?.position ?? 0;
  }
}
