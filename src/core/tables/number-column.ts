/** Places of a chunk; a power of two. */
const PLACES = 1024;
const PLACE_BITS = 10;

type Numbers = Uint8Array | Uint32Array | Float64Array;

interface Chunk {
  numbers: Numbers;
  /** How many are not the default. */
  taken: number;
}

/**
 * A number for each place: 0, 1, 2, … It takes no room where all are the default, one byte for each where they are
 * small, four where they are counts, and eight otherwise; each chunk for itself, so that growing copies one only. Any
 * number but `NaN`.
 */
export class NumberColumn {
  readonly #default: number;
  readonly #chunks: (Chunk | undefined)[] = [];

  constructor(byDefault = 0) {
    this.#default = byDefault;
  }

  get(place: number): number {
    const chunk = this.#chunks[place >> PLACE_BITS];
    return chunk === undefined ? this.#default : (chunk.numbers[place & (PLACES - 1)] as number);
  }

  set(place: number, number: number): void {
    const before = this.get(place);
    if (before === number) return;
    const chunk = this.#chunkFor(place >> PLACE_BITS, number);
    chunk.numbers[place & (PLACES - 1)] = number;
    if (before === this.#default) chunk.taken += 1;
    if (number === this.#default) chunk.taken -= 1;
    if (chunk.taken === 0) this.#chunks[place >> PLACE_BITS] = undefined;
  }

  /** Places whose number is not the default, in order; may be changed while it is walked. */
  *places(): Generator<number> {
    for (let index = 0; index < this.#chunks.length; index += 1) {
      for (let at = 0; at < PLACES && this.#chunks[index] !== undefined; at += 1) {
        const place = (index << PLACE_BITS) | at;
        if (this.get(place) !== this.#default) yield place;
      }
    }
  }

  /** The chunk, wide enough for the number. */
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
  if (width === 8) return new Float64Array(PLACES);
  return width === 4 ? new Uint32Array(PLACES) : new Uint8Array(PLACES);
}
