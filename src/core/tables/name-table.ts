import { hashOf } from './key-index.ts';
import { NumberColumn } from './number-column.ts';

/** Names per chunk; a power of two. */
const NAMES = 1024;
const NAME_BITS = 10;

/** The slot of a name that the table does not hold. */
export const NO_SLOT = -1;

/**
 * A table of names that several owners share. Each name is stored once and has a slot, the index of its data in the
 * owners' columns. A name keeps its slot until every owner has released it; then another name may get the slot.
 *
 * Replaces a `Map`, which takes five times the memory and stops the process while it grows. The slots are chained in
 * buckets, and each new name splits one bucket (linear hashing; Litwin, 1980).
 */
export class NameTable {
  readonly #chunks: ((string | undefined)[] | undefined)[] = [];
  /** Number of owners of the name in each slot. */
  readonly #holders = new NumberColumn();
  /** First slot of each bucket's chain, and the slot that follows each slot. Stored plus one; 0 ends the chain. */
  readonly #first = new NumberColumn();
  readonly #next = new NumberColumn();
  /** Selects the low bits of a hash that give the bucket. A bucket that was split in this round uses one bit more. */
  #mask = 0;
  /** The bucket to split next. Those before it were split in this round. */
  #split = 0;
  #size = 0;
  #end = 0;
  /** First of the chain of free slots, plus one; 0: no slot is free. */
  #free = 0;

  /** Number of names. */
  get size(): number {
    return this.#size;
  }

  /** Returns the slot of a name; {@link NO_SLOT} if the table does not hold it. */
  find(name: string): number {
    let slot = this.#first.get(this.#bucketOf(name)) - 1;
    while (slot !== NO_SLOT && this.nameAt(slot) !== name) slot = this.#next.get(slot) - 1;
    return slot;
  }

  /** Returns the name in a slot that is in use. */
  nameAt(slot: number): string {
    return this.#chunks[slot >> NAME_BITS]?.[slot & (NAMES - 1)] as string;
  }

  /** Adds an owner to a name, and returns its slot. */
  hold(name: string): number {
    let slot = this.find(name);
    if (slot === NO_SLOT) slot = this.#add(name);
    this.#holders.set(slot, this.#holders.get(slot) + 1);
    return slot;
  }

  /** Removes an owner from the name in a slot. Frees the slot with the last owner. */
  release(slot: number): void {
    const left = this.#holders.get(slot) - 1;
    this.#holders.set(slot, left);
    if (left === 0) this.#remove(slot);
  }

  #add(name: string): number {
    this.#size += 1;
    if (this.#size > this.#mask + 1 + this.#split) this.#splitNext();
    const slot = this.#newSlot();
    const index = slot >> NAME_BITS;
    const chunk = this.#chunks[index] ?? [];
    this.#chunks[index] = chunk;
    chunk[slot & (NAMES - 1)] = name;
    this.#link(this.#bucketOf(name), slot);
    return slot;
  }

  #newSlot(): number {
    if (this.#free === 0) {
      this.#end += 1;
      return this.#end - 1;
    }
    const slot = this.#free - 1;
    this.#free = this.#next.get(slot);
    return slot;
  }

  #remove(slot: number): void {
    const bucket = this.#bucketOf(this.nameAt(slot));
    let before = this.#first.get(bucket) - 1;
    if (before === slot) this.#first.set(bucket, this.#next.get(slot));
    else {
      while (this.#next.get(before) - 1 !== slot) before = this.#next.get(before) - 1;
      this.#next.set(before, this.#next.get(slot));
    }
    (this.#chunks[slot >> NAME_BITS] as (string | undefined)[])[slot & (NAMES - 1)] = undefined;
    this.#next.set(slot, this.#free);
    this.#free = slot + 1;
    this.#size -= 1;
  }

  #link(bucket: number, slot: number): void {
    this.#next.set(slot, this.#first.get(bucket));
    this.#first.set(bucket, slot + 1);
  }

  #bucketOf(name: string): number {
    const hash = hashOf(name);
    const low = hash & this.#mask;
    return low < this.#split ? hash & (this.#mask * 2 + 1) : low;
  }

  #splitNext(): void {
    const from = this.#split;
    let slot = this.#first.get(from) - 1;
    this.#first.set(from, 0);
    this.#split += 1;
    while (slot !== NO_SLOT) {
      const after = this.#next.get(slot) - 1;
      this.#link(this.#bucketOf(this.nameAt(slot)), slot);
      slot = after;
    }
    if (this.#split <= this.#mask) return;
    this.#mask = this.#mask * 2 + 1;
    this.#split = 0;
  }
}

/** Fills columns over a table of names. If that fails, the columns release their names. */
export async function filled<Columns extends { clear(): void }>(
  columns: Columns,
  fill: (columns: Columns) => Promise<void>,
): Promise<Columns> {
  try {
    await fill(columns);
    return columns;
  } catch (error) {
    columns.clear();
    throw error;
  }
}

/** A set of names of a table. It is one of their owners. */
export class NameSet {
  readonly table: NameTable;
  readonly #slots = new NumberColumn();
  #size = 0;

  constructor(table: NameTable) {
    this.table = table;
  }

  get size(): number {
    return this.#size;
  }

  has(name: string): boolean {
    return this.find(name) !== NO_SLOT;
  }

  /** Returns the slot of a name; {@link NO_SLOT} if the set does not contain it. */
  find(name: string): number {
    const slot = this.table.find(name);
    return slot !== NO_SLOT && this.#slots.get(slot) === 1 ? slot : NO_SLOT;
  }

  /** Adds a name unless the set contains it, and returns its slot. */
  add(name: string): number {
    const known = this.find(name);
    if (known !== NO_SLOT) return known;
    const slot = this.table.hold(name);
    this.#slots.set(slot, 1);
    this.#size += 1;
    return slot;
  }

  /**
   * Removes a name. Returns the slot that it had, which another name may get from now on; {@link NO_SLOT} if the set did
   * not contain the name.
   */
  delete(name: string): number {
    const slot = this.find(name);
    if (slot !== NO_SLOT) this.#release(slot);
    return slot;
  }

  /** Releases all names. */
  clear(): void {
    for (const slot of this.slots()) this.#release(slot);
  }

  /**
   * Yields the slots, in no particular order. The set may change meanwhile: a name that stays in it is yielded exactly
   * once.
   */
  slots(): Generator<number> {
    return this.#slots.slots();
  }

  /** Yields the names, like {@link NameSet.slots}. */
  *names(): Generator<string> {
    for (const slot of this.slots()) yield this.table.nameAt(slot);
  }

  #release(slot: number): void {
    this.#slots.set(slot, 0);
    this.#size -= 1;
    this.table.release(slot);
  }
}
