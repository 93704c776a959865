/** Reads LevelDB's integers and byte strings in sequence. Throws a `RangeError` beyond the end. */
export class VarintReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Reads seven bits per byte, the lowest first; inexact beyond 2^53. */
  integer(): number {
    let value = 0;
    for (let unit = 1; unit <= 2 ** 63; unit *= 128) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new RangeError('The bytes end too early');
      this.#at += 1;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return value;
    }
    throw new RangeError('An integer of more than 64 bits');
  }

  bytes(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new RangeError('The bytes end too early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Reads a length, then as many bytes. */
  string(): Buffer {
    return this.bytes(this.integer());
  }
}
