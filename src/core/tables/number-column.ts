/** Slots per chunk; a power of two. */
const SLOTS = 1024;
const SLOT_BITS = 10;

type Numbers = Uint8Array | Uint32Array | Float64Array;

interface Chunk {
  numbers: Numbers;
  /** Number of slots that differ from the default. */
  taken: number;
}

/**
 * A number, except `NaN`, for each slot 0, 1, 2, … A chunk of default values takes no memory. Otherwise each of its
 * numbers takes one byte if all are integers from 0 to 255, four if all are integers below 2 ** 32, and eight in all
 * other cases. When a chunk needs a wider type, only that chunk is copied.
 */
export class NumberColumn {
  readonly #default: number;
  readonly #chunks: (Chunk | undefined)[] = [];

  constructor(byDefault = 0) {
    this.#default = byDefault;
  }

  get(slot: number): number {
    const chunk = this.#chunks[slot >> SLOT_BITS];
    return chunk === undefined ? this.#default : (chunk.numbers[slot & (SLOTS - 1)] as number);
  }

  set(slot: number, number: number): void {
    const before = this.get(slot);
    if (before === number) return;
    const chunk = this.#chunkFor(slot >> SLOT_BITS, number);
    chunk.numbers[slot & (SLOTS - 1)] = number;
    if (before === this.#default) chunk.taken += 1;
    if (number === this.#default) chunk.taken -= 1;
    if (chunk.taken === 0) this.#chunks[slot >> SLOT_BITS] = undefined;
  }

  /** Sets the default. */
  reset(slot: number): void {
    this.set(slot, this.#default);
  }

  /** Yields the slots whose number is not the default, in order. The column may change meanwhile. */
  *slots(): Generator<number> {
    for (let index = 0; index < this.#chunks.length; index += 1) {
      for (let at = 0; at < SLOTS && this.#chunks[index] !== undefined; at += 1) {
        const slot = (index << SLOT_BITS) | at;
        if (this.get(slot) !== this.#default) yield slot;
      }
    }
  }

  /** Returns the chunk, in a type wide enough for the number. */
  #chunkFor(index: number, number: number): Chunk {
    const known = this.#chunks[index];
    if (known === undefined) {
      const numbers = roomFor(Math.max(widthOf(number), widthOf(this.#default))).fill(this.#default);
      const made = { numbers, taken: 0 };
      while (this.#chunks.length <= index) this.#chunks.push(undefined);
      this.#chunks[index] = made;
      return made;
    }
    const width = widthOf(number);
    if (width > known.numbers.BYTES_PER_ELEMENT) {
      const wider = roomFor(width);
      wider.set(known.numbers);
      known.numbers = wider;
    }
    return known;
  }
}

function widthOf(number: number): number {
  if (number >>> 0 !== number) return 8;
  return number < 256 ? 1 : 4;
}

function roomFor(width: number): Numbers {
  if (width === 8) return new Float64Array(SLOTS);
  return width === 4 ? new Uint32Array(SLOTS) : new Uint8Array(SLOTS);
}
