import type { NamespaceState } from '../core/namespace-state.ts';

/** How much is kept at the most; always the namespace that was asked for last. */
const KEPT_ENTRIES = 100_000;
const KEPT_NAMESPACES = 1_000;

/** Namespaces of one moment that have been asked for, so that the next question is quick. */
export class StateCache {
  readonly #kept = new Map<string, NamespaceState>();
  #entries = 0;

  get(namespace: string): NamespaceState | undefined {
    return this.#kept.get(namespace);
  }

  /** Keeps a state that is not here yet and will not change, and lets go of the oldest ones. */
  keep(state: NamespaceState): void {
    this.#kept.set(state.name, state);
    this.#entries += state.entries.size;
    for (const [name, { entries }] of this.#kept) {
      if (name === state.name || (this.#entries <= KEPT_ENTRIES && this.#kept.size <= KEPT_NAMESPACES)) break;
      this.#kept.delete(name);
      this.#entries -= entries.size;
    }
  }

  clear(): void {
    this.#kept.clear();
    this.#entries = 0;
  }
}
