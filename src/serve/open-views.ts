import { ContextCacheError } from '../core/errors.ts';
import type { CacheView } from '../past/view.ts';
import type { ClientCache } from './served-cache.ts';

/** Most views that one client holds open. Each keeps retention from releasing its position. */
const MAX_VIEWS = 64;

/** A view, and how many of the client's views show it. */
interface Open {
  readonly view: CacheView;
  count: number;
}

/** The views that a client holds open, by position. */
export class OpenViews {
  readonly #cache: ClientCache;
  readonly #views = new Map<number, Open>();

  constructor(cache: ClientCache) {
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
    if (open === undefined && this.#views.size < MAX_VIEWS) {
      this.#views.set(view.position, { view, count: 1 });
      return view.position;
    }
    view[Symbol.dispose]();
    if (open === undefined)
      throw new ContextCacheError('OVERLOADED', `A client may hold ${MAX_VIEWS} views open. Dispose of some first.`);
    open.count += 1;
    return view.position;
  }

  /** Reads in the open view of a position; if there is none, in one that closes with the read. */
  read<Result>(position: number, read: (view: CacheView, isOpen: boolean) => Result): Result {
    const open = this.#views.get(position);
    if (open !== undefined) return read(open.view, true);
    using view = this.#cache.at(position);
    return read(view, false);
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
}
