import type { JsonValue } from '../value.ts';
import { KeyIndex } from './key-index.ts';

/** One key of a namespace: a value, and how it came about. */
export interface EntryRecord {
  /** Absent (`undefined`) where a primary of the user's own keeps the values. */
  readonly value: JsonValue | undefined;
  /** Version of the namespace at this entry's last update. */
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly expiresAt: number | null;
  readonly agent: string | null;
  readonly bytes: number;
}

/** Places of a block; a power of two. */
const PLACES = 1024;
const PLACE_BITS = 10;

/**
 * Up to here the keys themselves are looked through and there is no index, which takes 250 bytes (measured: a namespace
 * with one key 3.06 to 2.81 KB). That is no slower, long keys with a beginning in common included; from six on it is.
 */
const FEW_KEYS = 4;

const NO_MORE: (Block | undefined)[] = [];

/** The numbers of an entry, beside one another. */
const NUMBERS = 5;
const VERSION = 0;
const CREATED_AT = 1;
const UPDATED_AT = 2;
/** `Infinity`: never. */
const EXPIRES_AT = 3;
const BYTES = 4;

/** Entries in columns. */
interface Block {
  /** How many places are taken. */
  count: number;
  /** `undefined`: the place is free. */
  keys: (string | undefined)[];
  values: (JsonValue | undefined)[];
  numbers: number[];
  /** Made once somebody gives an agent. */
  agents: (string | null)[] | undefined;
  /** Places that were given up, by their index here. */
  free: number[] | undefined;
  /** Whether it is among those that may have room. */
  listed: boolean;
}

/**
 * The entries of a namespace by key. An entry is no object of its own: its fields lie in columns, which takes less than
 * half the memory and leaves the garbage collector nothing to do when a value is replaced (measured: `set` 0.8 µs with
 * objects). {@link EntryRecord}s are made for whoever asks for one.
 *
 * An entry keeps its place until it is deleted, so that whoever walks while others write meets every entry that nobody
 * touches exactly once.
 */
export class EntryTable {
  #size = 0;
  /** Made once there are more than a few keys, and kept. Until then all are in the first block, in as many places. */
  #index: KeyIndex | undefined;
  /** Block 0. Most namespaces have no more, and need no array of them (50 bytes). */
  #first: Block | undefined;
  /** Block 1 and so on. */
  #more: (Block | undefined)[] = NO_MORE;
  /** Blocks in which a place was given up and that may have it still, and numbers that have no block any more. */
  #roomy: number[] | undefined;

  get size(): number {
    return this.#size;
  }

  /** The place of a key; -1 where it is absent. Good until the next change. */
  find(key: string): number {
    if (this.#index !== undefined) return this.#index.get(key) ?? -1;
    return this.#first?.keys.indexOf(key) ?? -1;
  }

  has(key: string): boolean {
    return this.find(key) >= 0;
  }

  get(key: string): EntryRecord | undefined {
    const place = this.find(key);
    return place < 0 ? undefined : this.recordAt(place);
  }

  valueAt(place: number): JsonValue | undefined {
    return this.#blockOf(place).values[place & (PLACES - 1)];
  }

  versionAt(place: number): number {
    return this.#number(place, VERSION);
  }

  createdAt(place: number): number {
    return this.#number(place, CREATED_AT);
  }

  /** `Infinity`: never. */
  expiresAt(place: number): number {
    return this.#number(place, EXPIRES_AT);
  }

  bytesAt(place: number): number {
    return this.#number(place, BYTES);
  }

  recordAt(place: number): EntryRecord {
    return recordIn(this.#blockOf(place), place & (PLACES - 1));
  }

  /** Puts an entry in the place of its key, or in a new one (-1). An `expiresAt` of `Infinity`: never. */
  set(
    key: string,
    place: number,
    value: JsonValue | undefined,
    version: number,
    createdAt: number,
    updatedAt: number,
    expiresAt: number,
    agent: string | null,
    bytes: number,
  ): void {
    if (place < 0) {
      this.#add(key, value, version, createdAt, updatedAt, expiresAt, agent, bytes);
      return;
    }
    const block = this.#blockOf(place);
    const index = place & (PLACES - 1);
    block.values[index] = value;
    this.#fill(block, index, version, createdAt, updatedAt, expiresAt, bytes);
    if (agent !== null || block.agents !== undefined) setAgent(block, index, agent);
  }

  /** The place is free after that. */
  delete(key: string, place: number): void {
    const block = this.#blockOf(place);
    const index = place & (PLACES - 1);
    this.#index?.delete(key);
    this.#size -= 1;
    block.count -= 1;
    block.keys[index] = undefined;
    block.values[index] = undefined;
    if (block.agents !== undefined) block.agents[index] = null;
    block.free ??= [];
    block.free.push(index);
    const number = place >> PLACE_BITS;
    if (!block.listed) {
      this.#roomy ??= [];
      this.#roomy.push(number);
      block.listed = true;
    }
    if (block.count === 0) this.#place(number, undefined);
  }

  /** In no particular order; may be changed while it is walked. */
  *keys(): Generator<string> {
    for (const block of this.#blocks()) {
      for (let index = 0; index < block.keys.length; index += 1) {
        const key = block.keys[index];
        if (key !== undefined) yield key;
      }
    }
  }

  /** In no particular order; may be changed while it is walked. */
  *[Symbol.iterator](): Generator<readonly [string, EntryRecord]> {
    for (const block of this.#blocks()) {
      for (let index = 0; index < block.keys.length; index += 1) {
        const key = block.keys[index];
        if (key !== undefined) yield [key, recordIn(block, index)];
      }
    }
  }

  #add(
    key: string,
    value: JsonValue | undefined,
    version: number,
    createdAt: number,
    updatedAt: number,
    expiresAt: number,
    agent: string | null,
    bytes: number,
  ): void {
    const number = this.#room();
    let block = this.#block(number);
    let index = 0;
    if (block === undefined) {
      block = newBlock(key, value, [version, createdAt, updatedAt, expiresAt, bytes]);
      this.#place(number, block);
    } else if (block.free !== undefined && block.free.length > 0) {
      index = block.free.pop() as number;
      block.keys[index] = key;
      block.values[index] = value;
      this.#fill(block, index, version, createdAt, updatedAt, expiresAt, bytes);
    } else {
      index = block.keys.push(key) - 1;
      block.values.push(value);
      block.numbers.push(version, createdAt, updatedAt, expiresAt, bytes);
      block.agents?.push(null);
      if (index === PLACES - 1) trim(block);
    }
    if (agent !== null) setAgent(block, index, agent);
    block.count += 1;
    this.#size += 1;
    if (this.#index !== undefined) this.#index.set(key, (number << PLACE_BITS) | index, this.#size);
    else if (this.#size > FEW_KEYS) this.#index = indexOf(block.keys);
  }

  /** The number of a block that has room, or that is to be made. The last one has, where nothing was ever deleted. */
  #room(): number {
    for (let listed = this.#roomy?.at(-1); listed !== undefined; listed = this.#roomy?.at(-1)) {
      const block = this.#block(listed);
      if (block !== undefined && block.count < PLACES) return listed;
      this.#roomy?.pop();
      if (block === undefined) return listed;
      block.listed = false;
    }
    const last = this.#more.length;
    const block = this.#block(last);
    return block === undefined || block.count < PLACES ? last : last + 1;
  }

  #block(number: number): Block | undefined {
    return number === 0 ? this.#first : this.#more[number - 1];
  }

  #place(number: number, block: Block | undefined): void {
    if (number === 0) this.#first = block;
    else if (this.#more === NO_MORE) this.#more = [block];
    else this.#more[number - 1] = block;
  }

  /** May be changed while it is walked. */
  *#blocks(): Generator<Block> {
    for (let number = 0; number <= this.#more.length; number += 1) {
      const block = this.#block(number);
      if (block !== undefined) yield block;
    }
  }

  #fill(
    { numbers }: Block,
    index: number,
    version: number,
    createdAt: number,
    updatedAt: number,
    expiresAt: number,
    bytes: number,
  ): void {
    const at = index * NUMBERS;
    numbers[at + VERSION] = version;
    numbers[at + CREATED_AT] = createdAt;
    numbers[at + UPDATED_AT] = updatedAt;
    numbers[at + EXPIRES_AT] = expiresAt;
    numbers[at + BYTES] = bytes;
  }

  #blockOf(place: number): Block {
    return this.#block(place >> PLACE_BITS) as Block;
  }

  #number(place: number, which: number): number {
    return this.#blockOf(place).numbers[(place & (PLACES - 1)) * NUMBERS + which] as number;
  }
}

/** Of the first block. */
function indexOf(keys: readonly (string | undefined)[]): KeyIndex {
  const index = new KeyIndex();
  keys.forEach((key, place) => {
    if (key !== undefined) index.set(key, place, keys.length);
  });
  return index;
}

/** The arrays begin with one entry and nothing to spare: most namespaces are small. */
function newBlock(key: string, value: JsonValue | undefined, numbers: number[]): Block {
  const values: (JsonValue | undefined)[] = [null];
  values[0] = value;
  return { count: 0, keys: [key], values, numbers, agents: undefined, free: undefined, listed: false };
}

/** An array that grew has room to spare, a fifth of a key's memory here; a copy has none. */
function trim(block: Block): void {
  block.keys = block.keys.slice();
  block.values = block.values.slice();
  block.numbers = block.numbers.slice();
}

function setAgent(block: Block, index: number, agent: string | null): void {
  block.agents ??= new Array(block.keys.length).fill(null);
  block.agents[index] = agent;
}

function recordIn({ values, numbers, agents }: Block, index: number): EntryRecord {
  const at = index * NUMBERS;
  const expiresAt = numbers[at + EXPIRES_AT] as number;
  return {
    value: values[index],
    version: numbers[at + VERSION] as number,
    createdAt: numbers[at + CREATED_AT] as number,
    updatedAt: numbers[at + UPDATED_AT] as number,
    expiresAt: expiresAt === Number.POSITIVE_INFINITY ? null : expiresAt,
    agent: agents?.[index] ?? null,
    bytes: numbers[at + BYTES] as number,
  };
}
