import { compareNames, sortNames } from '../names.ts';
import { firstWhere } from '../search.ts';

/** Names per block at most. A full block is split in two. */
const BLOCK = 512;

/** A part of an order: names from `low` on, up to but without `high`. */
export interface NameRange {
  readonly low: string;
  /** `undefined`: no upper bound. */
  readonly high: string | undefined;
  /** `true`: from the last name to the first. */
  readonly reverse: boolean;
}

/**
 * Names in order of code point: the index that answers reads in order. Names lie in sorted blocks of at most
 * {@link BLOCK}, so that adding one moves half a block and not half of all names. Takes about 16 bytes per name; the
 * text of a name is shared with the table that owns it.
 */
export class NameOrder {
  /** No block is empty. */
  readonly #blocks: string[][] = [];
  #size = 0;
  /** Number of changes, so that an iteration notices them. */
  #changes = 0;

  /** Sorts the names, which must be distinct. */
  constructor(names: Iterable<string> = []) {
    const sorted = sortNames([...names]);
    // Half-full blocks have room for the names to come.
    for (let start = 0; start < sorted.length; start += BLOCK / 2)
      this.#blocks.push(sorted.slice(start, start + BLOCK / 2));
    this.#size = sorted.length;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a name. Does nothing if it is there. */
  add(name: string): void {
    const at = Math.max(0, this.#blockOf(name));
    const block = this.#blocks[at];
    if (block === undefined) this.#blocks.push([name]);
    else {
      const index = indexFrom(block, name);
      if (block[index] === name) return;
      if (index === block.length) block.push(name);
      else block.splice(index, 0, name);
      if (block.length === BLOCK) this.#blocks.splice(at + 1, 0, block.splice(BLOCK / 2));
    }
    this.#size += 1;
    this.#changes += 1;
  }

  /** Removes a name. Does nothing if it is missing. */
  delete(name: string): void {
    const at = this.#blockOf(name);
    const block = this.#blocks[at];
    if (block === undefined) return;
    const index = indexFrom(block, name);
    if (block[index] !== name) return;
    if (block.length === 1) this.#blocks.splice(at, 1);
    else block.splice(index, 1);
    this.#size -= 1;
    this.#changes += 1;
  }

  /**
   * Yields the names of a range. The order may change meanwhile: a name that stays is yielded exactly once; names ahead
   * of the iteration are yielded if they are there when it reaches them.
   */
  names({ low, high, reverse }: NameRange): Generator<string, void, undefined> {
    return reverse ? this.#down(low, high) : this.#up(low, high);
  }

  *#up(low: string, high: string | undefined): Generator<string, void, undefined> {
    let [at, index] = this.#seek(low);
    for (let block = this.#blocks[at]; block !== undefined; block = this.#blocks[at]) {
      // Compares with the bound once for a block: names with a long common prefix are slow to compare.
      const end = endIn(block, high);
      const changes = this.#changes;
      let last: string | undefined;
      while (index < end && changes === this.#changes) {
        last = block[index] as string;
        index += 1;
        yield last;
      }
      if (changes !== this.#changes) [at, index] = this.#seek(`${last}\0`);
      else if (end < block.length) return;
      else {
        at += 1;
        index = 0;
      }
    }
  }

  *#down(low: string, high: string | undefined): Generator<string, void, undefined> {
    let [at, index] = high === undefined ? [this.#blocks.length, 0] : this.#seek(high);
    for (;;) {
      if (index === 0) {
        at -= 1;
        index = this.#blocks[at]?.length ?? 0;
      }
      index -= 1;
      const name = this.#blocks[at]?.[index];
      if (name === undefined || compareNames(name, low) < 0) return;
      const changes = this.#changes;
      yield name;
      if (changes !== this.#changes) [at, index] = this.#seek(name);
    }
  }

  /** Returns how many names lie from `low` up to `high`, to within two blocks. */
  estimate(low: string, high: string | undefined): number {
    const last = high === undefined ? this.#blocks.length : this.#blockOf(high) + 1;
    const blocks = last - Math.max(0, this.#blockOf(low));
    return blocks === 0 ? 0 : (this.size * blocks) / this.#blocks.length;
  }

  /** Returns the block and the index in it of the first name from `name` on. The index may be the length of the block. */
  #seek(name: string): [at: number, index: number] {
    const at = Math.max(0, this.#blockOf(name));
    const block = this.#blocks[at];
    return [at, block === undefined ? 0 : indexFrom(block, name)];
  }

  /** Returns the number of the last block that starts at or before `name`; -1 if none does. */
  #blockOf(name: string): number {
    const blocks = this.#blocks;
    return firstWhere(0, blocks.length, (at) => compareNames((blocks[at] as string[])[0] as string, name) > 0) - 1;
  }
}

/** Returns the index of the first name of a block from `name` on. */
function indexFrom(block: readonly string[], name: string): number {
  return firstWhere(0, block.length, (index) => compareNames(block[index] as string, name) >= 0);
}

/** Returns the index of the first name of a block that is not below `high`; the length of the block if all are. */
function endIn(block: readonly string[], high: string | undefined): number {
  return high === undefined || compareNames(block.at(-1) as string, high) < 0 ? block.length : indexFrom(block, high);
}

/** Yields the names of a range, at most `limit` of them. */
export function* taken(
  order: NameOrder,
  range: NameRange & { readonly limit: number },
): Generator<string, void, undefined> {
  let left = range.limit;
  if (left === 0) return;
  for (const name of order.names(range)) {
    yield name;
    left -= 1;
    if (left === 0) return;
  }
}
