import type { Update } from '../core/update.ts';

/** The one update that stands for everything that happened to a key, or, if it is a clear, to a namespace. */
interface Kept {
  update: Update;
  /**
   * `true` if only updates that the follower has not received created the key. If the key is removed again, the
   * follower needs no update for it.
   */
  unseen: boolean;
  readonly home: NamespaceOverflow;
}

interface NamespaceOverflow {
  /** `true` if only updates that the follower has not received created the namespace. */
  unseen: boolean;
  clear: Kept | undefined;
  readonly keys: Map<string, Kept>;
}

/**
 * The updates that a bounded log has released and a follower has not received yet, coalesced: the last update of every
 * key, and the last clear of every namespace before the updates of its keys.
 *
 * A key that was added and removed without the follower receiving either leaves nothing, and so does such a namespace.
 * A namespace that exists but is empty leaves an update that announces it. Hence there is at most one update for each
 * live key and each key that was handed out before, and two for each namespace: its last clear, and one that announces
 * it.
 *
 * Invariants: updates arrive in ascending positions, so `#order` is sorted by position; every update in it is after the
 * follower's checkpoint.
 */
export class Overflow {
  readonly #namespaces = new Map<string, NamespaceOverflow>();
  readonly #order = new Map<number, Kept>();

  /** Number of updates that the follower has still to receive. */
  get size(): number {
    return this.#order.size;
  }

  /**
   * Adds an update that the log releases. `given`: it was handed out before and may have been delivered. Everything
   * added earlier was then handed out too, because updates are handed out in order.
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

  /** Returns the first updates, at most `limit`, in ascending order. They count as handed out from now on. */
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

  /** Marks everything as handed out: the follower may know the last update here, or later ones. */
  giveAll(): void {
    for (const kept of this.#order.values()) kept.unseen = false;
    for (const [name, home] of this.#namespaces) {
      home.unseen = false;
      this.#tidy(name, home);
    }
  }

  /** Removes everything up to `position`, which has been delivered. */
  deliveredThrough(position: number): void {
    for (const [at, { update, home }] of this.#order) {
      if (at > position) break;
      this.#order.delete(at);
      if (update.key !== null) home.keys.delete(update.key);
      else {
        home.clear = undefined;
        // After the drop the destination does not have the namespace, whatever it knew of an earlier one of that name.
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
    if (kept.unseen && removes(update) && isKnownWithoutKey(home)) {
      home.keys.delete(key);
      return;
    }
    kept.update = coalesce(kept.update, update);
    this.#order.set(update.position, kept);
  }

  /** Keeps an unseen namespace even when it is empty, so that its drop can be left out. */
  #tidy(name: string, home: NamespaceOverflow): void {
    if (!home.unseen && home.clear === undefined && home.keys.size === 0) this.#namespaces.delete(name);
  }
}

/** Returns whether the destination learns or knows that the namespace exists without an update for this key. */
function isKnownWithoutKey({ unseen, clear, keys }: NamespaceOverflow): boolean {
  if (keys.size > 1) return true;
  return clear === undefined ? !unseen : !clear.update.drop;
}

function removes({ operation }: Update): boolean {
  return operation === 'delete' || operation === 'expire' || operation === 'evict';
}

/** Merges two updates of the same key into one. A touch carries no value, so an earlier set must survive in it. */
export function coalesce(earlier: Update, later: Update): Update {
  if (later.operation !== 'touch' || earlier.operation !== 'set') return later;
  const { value, bytes, replaced } = earlier;
  return { ...later, operation: 'set', value, bytes, replaced };
}
