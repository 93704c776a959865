import type { NamespaceState } from '../core/namespace-state.ts';

/**
 * Upper bounds of what is kept, in entries and namespaces. The namespace kept last stays even if it alone exceeds them.
 */
const KEPT_ENTRIES = 100_000;
const KEPT_NAMESPACES = 1_000;

/** Keeps the states of namespaces that were read from one view, so that the next read of the same namespace is fast. */
export class StateCache {
  readonly #kept = new Map<string, NamespaceState>();
  #entries = 0;

  get(namespace: string): NamespaceState | undefined {
    return this.#kept.get(namespace);
  }

  /** Keeps a state that is not kept yet and will not change. Discards the oldest states beyond the bounds. */
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
