import { hashOf } from './key-index.ts';
import { NumberColumn } from './number-column.ts';

/** Names of a chunk; a power of two. */
const NAMES = 1024;
const NAME_BITS = 10;

/** No place. */
export const NOWHERE = -1;

/**
 * Names, each once however many hold it, and a place for each, by which they keep what they know of it in columns. A
 * name keeps its place as long as somebody holds it; then another name may get it.
 *
 * In place of a `Map`, which takes five times as much room and stops everybody when it grows: chains of places in
 * buckets, one of which is split for each name that comes (linear hashing; Litwin, 1980).
 */
export class NameTable {
  readonly #chunks: ((string | undefined)[] | undefined)[] = [];
  /** How many hold the name of a place. */
  readonly #holders = new NumberColumn();
  /** Of a bucket the first place of its chain and one, of a place the one after it in its chain and one; 0: none. */
  readonly #first = new NumberColumn();
  readonly #next = new NumberColumn();
  /** A name is in the bucket that the low bits of its hash name: those of the mask, one more where that was split. */
  #mask = 0;
  /** The bucket to be split next; those before it have been in this round. */
  #split = 0;
  #size = 0;
  #end = 0;
  /** A chain of places that were given up. */
  #free = 0;

  /** How many names there are. */
  get size(): number {
    return this.#size;
  }

  /** The place of a name; {@link NOWHERE} where nobody holds it. */
  find(name: string): number {
    let place = this.#first.get(this.#bucketOf(name)) - 1;
    while (place !== NOWHERE && this.nameAt(place) !== name) place = this.#next.get(place) - 1;
    return place;
  }

  /** The name of a place that is held. */
  nameAt(place: number): string {
    return this.#chunks[place >> NAME_BITS]?.[place & (NAMES - 1)] as string;
  }

  /** For one more who holds the name: its place. */
  hold(name: string): number {
    let place = this.find(name);
    if (place === NOWHERE) place = this.#add(name);
    this.#holders.set(place, this.#holders.get(place) + 1);
    return place;
  }

  /** One who held it does so no longer. */
  letGo(place: number): void {
    const left = this.#holders.get(place) - 1;
    this.#holders.set(place, left);
    if (left === 0) this.#remove(place);
  }

  #add(name: string): number {
    this.#size += 1;
    if (this.#size > this.#mask + 1 + this.#split) this.#splitNext();
    const place = this.#room();
    const index = place >> NAME_BITS;
    const chunk = this.#chunks[index] ?? [];
    this.#chunks[index] = chunk;
    chunk[place & (NAMES - 1)] = name;
    this.#link(this.#bucketOf(name), place);
    return place;
  }

  #room(): number {
    if (this.#free === 0) {
      this.#end += 1;
      return this.#end - 1;
    }
    const place = this.#free - 1;
    this.#free = this.#next.get(place);
    return place;
  }

  #remove(place: number): void {
    const bucket = this.#bucketOf(this.nameAt(place));
    let before = this.#first.get(bucket) - 1;
    if (before === place) this.#first.set(bucket, this.#next.get(place));
    else {
      while (this.#next.get(before) - 1 !== place) before = this.#next.get(before) - 1;
      this.#next.set(before, this.#next.get(place));
    }
    (this.#chunks[place >> NAME_BITS] as (string | undefined)[])[place & (NAMES - 1)] = undefined;
    this.#next.set(place, this.#free);
    this.#free = place + 1;
    this.#size -= 1;
  }

  #link(bucket: number, place: number): void {
    this.#next.set(place, this.#first.get(bucket));
    this.#first.set(bucket, place + 1);
  }

  #bucketOf(name: string): number {
    const hash = hashOf(name);
    const low = hash & this.#mask;
    return low < this.#split ? hash & (this.#mask * 2 + 1) : low;
  }

  #splitNext(): void {
    const from = this.#split;
    let place = this.#first.get(from) - 1;
    this.#first.set(from, 0);
    this.#split += 1;
    while (place !== NOWHERE) {
      const after = this.#next.get(place) - 1;
      this.#link(this.#bucketOf(this.nameAt(place)), place);
      place = after;
    }
    if (this.#split <= this.#mask) return;
    this.#mask = this.#mask * 2 + 1;
    this.#split = 0;
  }
}

/**
 * Fills columns over a table of names. Where that fails they let go of the names again.
 */
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

/** Some of the names of a table, held there. */
export class NameSet {
  readonly table: NameTable;
  readonly #held = new NumberColumn();
  #size = 0;

  constructor(table: NameTable) {
    this.table = table;
  }

  get size(): number {
    return this.#size;
  }

  has(name: string): boolean {
    return this.find(name) !== NOWHERE;
  }

  /** The place of a name that is in it, else {@link NOWHERE}. */
  find(name: string): number {
    const place = this.table.find(name);
    return place !== NOWHERE && this.#held.get(place) === 1 ? place : NOWHERE;
  }

  /** Its place, whether or not it was in it before. */
  add(name: string): number {
    const known = this.find(name);
    if (known !== NOWHERE) return known;
    const place = this.table.hold(name);
    this.#held.set(place, 1);
    this.#size += 1;
    return place;
  }

  /** The place that it had, which is another's from now on; {@link NOWHERE} where it was not in it. */
  delete(name: string): number {
    const place = this.find(name);
    if (place !== NOWHERE) this.#letGo(place);
    return place;
  }

  /** Lets go of all. */
  clear(): void {
    for (const place of this.places()) this.#letGo(place);
  }

  /** In no particular order; may be changed while it is walked: what is in it all the while is met exactly once. */
  places(): Generator<number> {
    return this.#held.places();
  }

  /** As {@link NameSet.places}. */
  *names(): Generator<string> {
    for (const place of this.places()) yield this.table.nameAt(place);
  }

  #letGo(place: number): void {
    this.#held.set(place, 0);
    this.#size -= 1;
    this.table.letGo(place);
  }
}
