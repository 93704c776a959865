import { NameOrder } from '../core/tables/name-order.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';

/** Most keys that are kept in all, unless one namespace alone has more. */
const KEPT_KEYS = 100_000;
const KEPT_NAMESPACES = 1_000;

const EMPTY: ColdOrder = { position: 0, expires: false, order: new NameOrder() };

/** The keys of a namespace that is not in memory, in order. */
export interface ColdOrder {
  /** Position of the namespace's last update. */
  readonly position: number;
  /** `true` if some of the entries expire. */
  readonly expires: boolean;
  readonly order: NameOrder;
}

/**
 * The order of the keys of namespaces that are not in memory. The first read in order of such a namespace reads the whole
 * of it and sorts its keys; the keys are kept without the values, so that further reads do not repeat this.
 */
export class ColdOrders {
  readonly #registry: NamespaceRegistry;
  /** Read last at the end. */
  readonly #kept = new Map<string, ColdOrder>();
  #keys = 0;

  constructor(registry: NamespaceRegistry) {
    this.#registry = registry;
  }

  /** @throws {ContextCacheError} `LOG_CORRUPT` or `LOG_UNAVAILABLE` if the index cannot be read. */
  of(namespace: string): ColdOrder {
    const summary = this.#registry.summary(namespace);
    if (summary === undefined) return EMPTY;
    const kept = this.#kept.get(namespace);
    if (kept !== undefined) this.#forget(namespace, kept);
    const { position } = summary;
    const found = kept?.position === position ? kept : this.#read(namespace, position, summary.nextExpiryAt !== null);
    this.#keep(namespace, found);
    return found;
  }

  #read(namespace: string, position: number, expires: boolean): ColdOrder {
    const order = this.#registry.stateOnDisk(namespace)?.order;
    return order === undefined ? EMPTY : { position, expires, order };
  }

  #keep(namespace: string, found: ColdOrder): void {
    this.#kept.set(namespace, found);
    this.#keys += found.order.size;
    for (const [name, oldest] of this.#kept) {
      if (name === namespace || (this.#keys <= KEPT_KEYS && this.#kept.size <= KEPT_NAMESPACES)) break;
      this.#forget(name, oldest);
    }
  }

  #forget(namespace: string, { order }: ColdOrder): void {
    this.#kept.delete(namespace);
    this.#keys -= order.size;
  }
}
