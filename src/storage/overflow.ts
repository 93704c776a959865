import type { Update } from '../core/update.ts';

/** The one update that stands for all that happened to a key (or, a clear, to a namespace). */
interface Kept {
  update: Update;
  /** The key was made by updates that the follower has never been given: should it go again, nothing need be said. */
  unseen: boolean;
  readonly home: NamespaceOverflow;
}

interface NamespaceOverflow {
  /** The namespace itself was made by updates that the follower has never been given. */
  unseen: boolean;
  clear: Kept | undefined;
  readonly keys: Map<string, Kept>;
}

/**
 * What a bounded log has let go of and a follower has still to get, coalesced per key: the last update of every key,
 * and the last clear of every namespace before the updates of its keys.
 *
 * A key that came and went without the follower being given any of it leaves nothing, and neither does such a
 * namespace; but of a namespace that is there, and empty, something is told. So there is at most one update for each
 * live key and each key given before, and two for each namespace: its last clear, and one that tells that it is there.
 *
 * Invariants: updates come in ascending positions, hence `#order` is sorted by position; each update in it is after
 * the follower's checkpoint.
 */
export class Overflow {
  readonly #namespaces = new Map<string, NamespaceOverflow>();
  readonly #order = new Map<number, Kept>();

  /** How many updates there are to get. */
  get size(): number {
    return this.#order.size;
  }

  /**
   * Keeps an update. `given`: it has been handed out before, and may have been delivered. Then whatever was kept before
   * it has been handed out, too, because all goes out in order.
   */
  add(update: Update, given: boolean): void {
    let home = this.#namespaces.get(update.namespace);
    if (home === undefined) {
      home = { unseen: update.version === 1 && !given, clear: undefined, keys: new Map() };
      this.#namespaces.set(update.namespace, home);
    }
    if (update.key === null) this.#addClear(update, home);
    else this.#addOfKey(update, update.key, home, given);
  }

  /** The first updates, at most `limit`, ascending; from now on they count as given. */
  give(limit: number): Update[] {
    const updates: Update[] = [];
    for (const kept of this.#order.values()) {
      if (updates.length === limit) break;
      kept.unseen = false;
      kept.home.unseen = false;
      updates.push(kept.update);
    }
    return updates;
  }

  /** The follower may know everything up to the last update here, or more. */
  giveAll(): void {
    for (const kept of this.#order.values()) kept.unseen = false;
    for (const [name, home] of this.#namespaces) {
      home.unseen = false;
      this.#tidy(name, home);
    }
  }

  /** Forgets what has been delivered: everything up to `position`. */
  deliveredThrough(position: number): void {
    for (const [at, { update, home }] of this.#order) {
      if (at > position) break;
      this.#order.delete(at);
      if (update.key !== null) home.keys.delete(update.key);
      else {
        home.clear = undefined;
        // The destination does not have the namespace now, whatever it knew of the one before.
        if (update.drop && home.keys.size > 0) home.unseen = [...home.keys.values()].every(({ unseen }) => unseen);
      }
      this.#tidy(update.namespace, home);
    }
  }

  #addClear(update: Update, home: NamespaceOverflow): void {
    for (const kept of home.keys.values()) this.#order.delete(kept.update.position);
    home.keys.clear();
    if (home.clear !== undefined) this.#order.delete(home.clear.update.position);
    if (home.unseen && update.drop) {
      this.#namespaces.delete(update.namespace);
      return;
    }
    home.clear = { update, unseen: false, home };
    this.#order.set(update.position, home.clear);
  }

  #addOfKey(update: Update, key: string, home: NamespaceOverflow, given: boolean): void {
    const kept = home.keys.get(key);
    if (kept === undefined) {
      const unseen = update.operation === 'set' && update.replaced === 0 && !given;
      const added: Kept = { update, unseen, home };
      home.keys.set(key, added);
      this.#order.set(update.position, added);
      return;
    }
    this.#order.delete(kept.update.position);
    if (kept.unseen && removes(update) && isToldWithoutKey(home)) {
      home.keys.delete(key);
      return;
    }
    kept.update = coalesce(kept.update, update);
    this.#order.set(update.position, kept);
  }

  /** An unseen namespace is remembered even when nothing of it is left, so that its drop need not be said. */
  #tidy(name: string, home: NamespaceOverflow): void {
    if (!home.unseen && home.clear === undefined && home.keys.size === 0) this.#namespaces.delete(name);
  }
}

/** Whether the destination learns, or knows, that the namespace is there even if nothing is told of this key. */
function isToldWithoutKey({ unseen, clear, keys }: NamespaceOverflow): boolean {
  if (keys.size > 1) return true;
  return clear === undefined ? !unseen : !clear.update.drop;
}

function removes({ operation }: Update): boolean {
  return operation === 'delete' || operation === 'expire' || operation === 'evict';
}

/** One update for two of the same key. A touch says nothing of the value, so that a set before it must live on in it. */
export function coalesce(earlier: Update, later: Update): Update {
  if (later.operation !== 'touch' || earlier.operation !== 'set') return later;
  const { value, bytes, replaced } = earlier;
  return { ...later, operation: 'set', value, bytes, replaced };
}
