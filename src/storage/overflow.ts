import { eachKey, joined } from '../core/cleared-keys.ts';
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
 * Invariants: updates arrive in ascending positions, so `#order` is sorted by position, if an update that changes is taken out
 * and added again; every update in it is after the follower's checkpoint.
 */
export class Overflow {
  readonly #namespaces = new Map<string, NamespaceOverflow>();
  /** In order of position. */
  readonly #order = new Set<Kept>();

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
      home = { unseen: (update.version === 1 || update.begins === true) && !given, clear: undefined, keys: new Map() };
      this.#namespaces.set(update.namespace, home);
    }
    if (update.operation === 'clear_namespace') this.#addClear(update, home);
    else for (const each of eachKey(update)) this.#addOfKey(each, each.key as string, home, given);
  }

  /**
   * Returns the first updates, at most `limit`, in ascending order. They count as handed out from now on. Deletions with
   * one position are those of a clear, and come as one. `isAll`: no other is left.
   */
  give(limit: number): { readonly updates: Update[]; readonly isAll: boolean } {
    const given: Update[] = [];
    let last = 0;
    let count = 0;
    for (const kept of this.#order) {
      const { update } = kept;
      if (update.position !== last && count === limit) break;
      if (update.position !== last) count += 1;
      last = update.position;
      kept.unseen = false;
      kept.home.unseen = false;
      given.push(update);
    }
    return { updates: joined(given), isAll: given.length === this.size };
  }

  /** Marks everything as handed out: the follower may know the last update here, or later ones. */
  giveAll(): void {
    for (const kept of this.#order) kept.unseen = false;
    for (const [name, home] of this.#namespaces) {
      home.unseen = false;
      this.#tidy(name, home);
    }
  }

  /** Removes everything up to `position`, which has been delivered. */
  deliveredThrough(position: number): void {
    for (const kept of this.#order) {
      const { update, home } = kept;
      if (update.position > position) break;
      this.#order.delete(kept);
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
    for (const kept of home.keys.values()) this.#order.delete(kept);
    home.keys.clear();
    if (home.clear !== undefined) this.#order.delete(home.clear);
    if (home.unseen && update.drop) {
      this.#namespaces.delete(update.namespace);
      return;
    }
    home.clear = { update, unseen: false, home };
    this.#order.add(home.clear);
  }

  #addOfKey(update: Update, key: string, home: NamespaceOverflow, given: boolean): void {
    const kept = home.keys.get(key);
    if (kept === undefined) {
      const unseen = update.operation === 'set' && update.replaced === 0 && !given;
      const added: Kept = { update, unseen, home };
      home.keys.set(key, added);
      this.#order.add(added);
      return;
    }
    this.#order.delete(kept);
    if (kept.unseen && removes(update) && isKnownWithoutKey(home)) {
      home.keys.delete(key);
      return;
    }
    kept.update = coalesce(kept.update, update);
    this.#order.add(kept);
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
