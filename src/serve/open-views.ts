import { type AgentContextCache, type CacheView, ContextCacheError } from '../index.ts';

/** Most views that one client holds open. Each keeps retention from releasing its position. */
const MAX_VIEWS = 64;

/** A view, and how many of the client's views show it. */
interface Open {
  readonly view: CacheView;
  count: number;
}

/** The views that a client holds open, by position. */
export class OpenViews {
  readonly #cache: AgentContextCache;
  readonly #views = new Map<number, Open>();

  constructor(cache: AgentContextCache) {
    this.#cache = cache;
  }

  /**
   * Opens a view and returns its position.
   *
   * @throws {ContextCacheError} the errors of `at` of the cache; `OVERLOADED`.
   */
  open(when: number | Date): number {
    const view = this.#cache.at(when);
    const open = this.#views.get(view.position);
    if (open !== undefined) {
      open.count += 1;
      view[Symbol.dispose]();
    } else {
      this.#keep(view);
    }
    return view.position;
  }

  /** Returns the view of a position. Opens it if a lost connection has closed it. */
  at(position: number): CacheView {
    return this.#views.get(position)?.view ?? this.#keep(this.#cache.at(position));
  }

  /** Closes one view of a position. Does nothing if none is open. */
  close(position: number): void {
    const open = this.#views.get(position);
    if (open === undefined) return;
    open.count -= 1;
    if (open.count > 0) return;
    this.#views.delete(position);
    open.view[Symbol.dispose]();
  }

  /** Closes all views. */
  closeAll(): void {
    for (const { view } of this.#views.values()) view[Symbol.dispose]();
    this.#views.clear();
  }

  #keep(view: CacheView): CacheView {
    if (this.#views.size >= MAX_VIEWS) {
      view[Symbol.dispose]();
      throw new ContextCacheError('OVERLOADED', `A client may hold ${MAX_VIEWS} views open. Dispose of some first.`);
    }
    this.#views.set(view.position, { view, count: 1 });
    return view;
  }
}
