import { firstWhere } from '../search.ts';
import { createUpdate, type PendingUpdate, type Update } from '../update.ts';

/** Changes per block at most. */
const BLOCK = 512;

/**
 * The last update of a key, or the last clear of a namespace. A later update overwrites it, so that a key takes one object
 * for good. A `clear` of several keys is a change of each, which has its key. A position of 0: it was forgotten.
 */
type Change = PendingUpdate;

/** The changes of one namespace. */
interface Changed {
  /** Its last clear. */
  clear: Change | undefined;
  /** The last update of each key after that. */
  keys: Map<string, Change>;
}

/** Changes in order of position. One that has another position by now was replaced; such ones are less than half. */
interface Block {
  positions: number[];
  changes: Change[];
  /** Number of changes that were not replaced. */
  live: number;
}

/**
 * The last update of each key, and the last clear of each namespace, in order of position: the index that answers which
 * keys have changed since a position. A clear takes the place of all updates before it. The values of entries are not
 * kept here.
 */
export class ChangeOrder {
  readonly #namespaces = new Map<string, Changed>();
  /** In order of position, none of them empty. */
  readonly #blocks: Block[] = [];
  #size = 0;

  /** Number of changes. */
  get size(): number {
    return this.#size;
  }

  /** Adds an update that follows all others. */
  add(update: Update): void {
    if (update.operation !== 'clear' || update.key !== null) this.#add(update);
    else for (const key of update.keys ?? []) this.#add({ ...update, key, keys: undefined, bytes: 0 });
  }

  #add(update: Update): void {
    const { namespace, key } = update;
    let changed = this.#namespaces.get(namespace);
    if (changed === undefined) {
      changed = { clear: undefined, keys: new Map() };
      this.#namespaces.set(namespace, changed);
    }
    if (key === null) {
      for (const each of changed.keys.values()) this.#retire(each);
      changed.keys.clear();
    }
    let change = key === null ? changed.clear : changed.keys.get(key);
    if (change === undefined) {
      change = createUpdate(update);
      if (key === null) changed.clear = change;
      else changed.keys.set(key, change);
    } else {
      this.#retire(change);
      overwrite(change, update);
    }
    change.position = update.position;
    change.value = null;
    this.#push(change);
  }

  /**
   * Yields the changes after a position, in order; those of one clear follow each other. Must not be used after the next change, nor may they: they are
   * overwritten.
   */
  *after(position: number): Generator<Update, void, undefined> {
    let at = Math.max(0, this.#blockOf(position));
    let index = firstAfter(this.#blocks[at]?.positions ?? [], position);
    for (let block = this.#blocks[at]; block !== undefined; block = this.#blocks[at]) {
      const { positions, changes } = block;
      for (; index < changes.length; index += 1) {
        const change = changes[index] as Change;
        if (change.position === positions[index]) yield change;
      }
      at += 1;
      index = 0;
    }
  }

  /** Forgets the changes up to a position. */
  trim(position: number): void {
    for (let first = this.#blocks[0]; first !== undefined; first = this.#blocks[0]) {
      const { positions, changes } = first;
      const gone = firstAfter(positions, position);
      for (let index = 0; index < gone; index += 1) {
        const change = changes[index] as Change;
        if (change.position !== positions[index]) continue;
        this.#forget(change);
        first.live -= 1;
        this.#size -= 1;
      }
      if (first.live > 0) {
        positions.splice(0, gone);
        changes.splice(0, gone);
        return;
      }
      this.#blocks.shift();
      if (gone < positions.length) return;
    }
  }

  #forget(change: Change): void {
    const { namespace, key } = change;
    const changed = this.#namespaces.get(namespace) as Changed;
    change.position = 0;
    if (key === null) changed.clear = undefined;
    else changed.keys.delete(key);
    if (changed.clear === undefined && changed.keys.size === 0) this.#namespaces.delete(namespace);
  }

  #push(change: Change): void {
    const last = this.#blocks.at(-1);
    this.#size += 1;
    // The changes of one clear stay in one block, which is found by its first position.
    const isFull = last !== undefined && last.changes.length >= BLOCK && last.positions.at(-1) !== change.position;
    if (last === undefined || isFull) {
      this.#blocks.push({ positions: [change.position], changes: [change], live: 1 });
      return;
    }
    last.positions.push(change.position);
    last.changes.push(change);
    last.live += 1;
  }

  /** Takes a change out of its position. */
  #retire(change: Change): void {
    const at = this.#blockOf(change.position);
    const block = this.#blocks[at] as Block;
    change.position = 0;
    block.live -= 1;
    this.#size -= 1;
    if (block.live === 0) this.#blocks.splice(at, 1);
    else if (2 * block.live < block.changes.length) this.#compact(at, block);
  }

  #compact(at: number, { positions, changes, live }: Block): void {
    const kept: Block = { positions: [], changes: [], live };
    const before = this.#blocks[at - 1];
    const joins = before !== undefined && 2 * (before.changes.length + live) <= BLOCK;
    const target = joins ? before : kept;
    for (let index = 0; index < changes.length; index += 1) {
      const change = changes[index] as Change;
      if (change.position !== positions[index]) continue;
      target.positions.push(change.position);
      target.changes.push(change);
    }
    if (joins) {
      before.live += live;
      this.#blocks.splice(at, 1);
    } else this.#blocks[at] = kept;
  }

  /** Returns the number of the last block that starts at or before a position; -1 if none does. */
  #blockOf(position: number): number {
    let [low, high] = [0, this.#blocks.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (((this.#blocks[middle] as Block).positions[0] as number) > position) high = middle;
      else low = middle + 1;
    }
    return low - 1;
  }
}

/** Returns the index of the first position after another one. */
function firstAfter(positions: readonly number[], position: number): number {
  return firstWhere(0, positions.length, (at) => (positions[at] as number) > position);
}

/** Overwrites a change with a later update of the same key, except for position and value. */
function overwrite(change: Change, update: Update): void {
  const { version, operation, at, agent, expiresAt, replaced, drop, bytes } = update;
  const { begins, meta, operationId, commandHash, basis } = update;
  change.version = version;
  change.operation = operation;
  change.at = at;
  change.agent = agent;
  change.expiresAt = expiresAt;
  change.replaced = replaced;
  change.drop = drop;
  change.bytes = bytes;
  if (begins !== undefined || change.begins !== undefined) change.begins = begins;
  if (meta !== undefined || change.meta !== undefined) change.meta = meta;
  if (operationId !== undefined || change.operationId !== undefined) change.operationId = operationId;
  if (commandHash !== undefined || change.commandHash !== undefined) change.commandHash = commandHash;
  if (basis !== undefined || change.basis !== undefined) change.basis = basis;
}
