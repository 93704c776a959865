/** Number of strings that are kept to be returned again; a power of two. */
const KEPT_STRINGS = 16_384;
/** Greatest length of a string that is kept, in bytes. */
const SHORT_STRING = 64;

/**
 * Reads MessagePack piece by piece, in the form that `MessageWriter` writes. Values that are not needed are skipped
 * without being decoded. Returns the same string object for repeated short strings, which saves most of the memory of
 * updates that are read in bulk.
 *
 * @throws {RangeError} if the bytes do not have the form.
 */
export class MessageReader {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  readonly #strings: (string | undefined)[] = new Array(KEPT_STRINGS);

  /** Starts to read at an index of `bytes`. */
  begin(bytes: Buffer, at = 0): void {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** Index of the next piece. */
  get at(): number {
    return this.#at;
  }

  /** Reads the header of an array and returns the number of its pieces, which follow. */
  array(): number {
    const first = this.#byte();
    if ((first & 0xf0) === 0x90) return first & 0x0f;
    if (first === 0xdc) return this.#uint(2);
    if (first === 0xdd) return this.#uint(4);
    throw unexpected(first);
  }

  number(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    if (first >= 0xe0) return first - 0x100;
    switch (first) {
      case 0xcc:
        return this.#byte();
      case 0xcd:
        return this.#uint(2);
      case 0xce:
        return this.#uint(4);
      case 0xd0:
        return (this.#byte() << 24) >> 24;
      case 0xd1:
        return (this.#uint(2) << 16) >> 16;
      case 0xd2:
        return this.#uint(4) | 0;
      case 0xcb:
        this.#at += 8;
        return this.#bytes.readDoubleBE(this.#at - 8);
      default:
        throw unexpected(first);
    }
  }

  /** Reads a number or `null`. */
  numberOrNull(): number | null {
    return this.#isNil() ? null : this.number();
  }

  text(): string {
    const length = this.#textLength();
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new RangeError('The message ends within a string');
    return length <= SHORT_STRING ? this.#short(start, this.#at) : this.#bytes.toString('utf8', start, this.#at);
  }

  /** Reads a string or `null`. */
  textOrNull(): string | null {
    return this.#isNil() ? null : this.text();
  }

  /** Skips one value. */
  skip(): void {
    for (let left = 1; left > 0; left -= 1) left += this.#skipOne();
    if (this.#at > this.#bytes.length) throw new RangeError('The message ends within a value');
  }

  /** Skips a piece and returns the number of pieces that belong to it. */
  #skipOne(): number {
    const first = this.#byte();
    if (first < 0x80 || first >= 0xe0) return 0;
    if (first < 0x90) return 2 * (first & 0x0f);
    if (first < 0xa0) return first & 0x0f;
    if (first < 0xc0) return this.#pass(first & 0x1f);
    switch (first) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return 0;
      case 0xc4:
      case 0xd9:
        return this.#pass(this.#byte());
      case 0xc5:
      case 0xda:
        return this.#pass(this.#uint(2));
      case 0xc6:
      case 0xdb:
        return this.#pass(this.#uint(4));
      case 0xcc:
      case 0xd0:
        return this.#pass(1);
      case 0xcd:
      case 0xd1:
        return this.#pass(2);
      case 0xce:
      case 0xd2:
        return this.#pass(4);
      case 0xcb:
        return this.#pass(8);
      case 0xdc:
        return this.#uint(2);
      case 0xdd:
        return this.#uint(4);
      case 0xde:
        return 2 * this.#uint(2);
      case 0xdf:
        return 2 * this.#uint(4);
      default:
        throw unexpected(first);
    }
  }

  #pass(bytes: number): number {
    this.#at += bytes;
    return 0;
  }

  #isNil(): boolean {
    if (this.#bytes[this.#at] !== 0xc0) return false;
    this.#at += 1;
    return true;
  }

  #textLength(): number {
    const first = this.#byte();
    if ((first & 0xe0) === 0xa0) return first & 0x1f;
    if (first === 0xd9) return this.#byte();
    if (first === 0xda) return this.#uint(2);
    if (first === 0xdb) return this.#uint(4);
    throw unexpected(first);
  }

  #short(start: number, end: number): string {
    const bytes = this.#bytes;
    let hash = end - start;
    for (let i = start; i < end; i += 1) {
      const byte = bytes[i] as number;
      if (byte >= 0x80) return bytes.toString('utf8', start, end);
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    const slot = (hash ^ (hash >>> 15)) & (KEPT_STRINGS - 1);
    const kept = this.#strings[slot];
    if (kept !== undefined && kept.length === end - start && this.#isAt(kept, start)) return kept;
    const text = bytes.toString('latin1', start, end);
    this.#strings[slot] = text;
    return text;
  }

  #isAt(text: string, start: number): boolean {
    for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) !== this.#bytes[start + i]) return false;
    return true;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new RangeError('The message ends too early');
    this.#at += 1;
    return byte;
  }

  #uint(bytes: 2 | 4): number {
    this.#at += bytes;
    if (this.#at > this.#bytes.length) throw new RangeError('The message ends too early');
    const at = this.#at - bytes;
    return bytes === 2 ? this.#bytes.readUInt16BE(at) : this.#bytes.readUInt32BE(at);
  }
}

function unexpected(first: number): RangeError {
  return new RangeError(`The message has an unexpected byte 0x${first.toString(16)}`);
}
