import { isUtf8 } from 'node:buffer';
import { setOwn } from '../value.ts';

/** Number of strings that are kept to be returned again; a power of two. */
const KEPT_STRINGS = 16_384;
/** Greatest length of a string that is kept, in bytes. */
const SHORT_STRING = 64;
/** Items that a list or map counts for itself, by the memory that an empty one takes. */
const CONTAINER_ITEMS = 8;

/**
 * Reads MessagePack piece by piece: what `MessageWriter` writes, and the other forms of JSON values that other encoders
 * choose. Values that are not needed are skipped without being decoded. Returns the same string object for repeated short
 * strings, which saves most of the memory of updates that are read in bulk.
 *
 * @throws {RangeError} if the bytes do not have the form.
 */
export class MessageReader {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  readonly #isStrict: boolean;
  readonly #maxItems: number;
  #items = 0;
  readonly #strings: (string | undefined)[] = new Array(KEPT_STRINGS);

  /**
   * `isStrict` is for bytes from outside: refuses opaque bytes, and text that is not UTF-8, in values; and more than `maxItems`
   * items and properties in what follows a {@link begin}, where each list and map counts for 8 more.
   */
  constructor(isStrict = false, maxItems = Number.MAX_SAFE_INTEGER) {
    this.#isStrict = isStrict;
    this.#maxItems = maxItems;
  }

  /** Starts to read at an index of `bytes`. */
  begin(bytes: Buffer, at = 0): void {
    this.#bytes = bytes;
    this.#at = at;
    this.#items = 0;
  }

  /** Index of the next piece. */
  get at(): number {
    return this.#at;
  }

  /** Checks that everything has been read. */
  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left !== 0) throw new RangeError(`The message has ${left} bytes behind its end`);
  }

  /** True if the next piece is an array. */
  get isAtArray(): boolean {
    const next = this.#bytes[this.#at];
    return next !== undefined && ((next & 0xf0) === 0x90 || next === 0xdc || next === 0xdd);
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
    return first >= 0xe0 ? first - 0x100 : this.#longNumber(first);
  }

  /** Reads a number or `null`. */
  numberOrNull(): number | null {
    return this.#isNil() ? null : this.number();
  }

  text(): string {
    return this.#text(this.#textLength());
  }

  /** Reads a string or `null`. */
  textOrNull(): string | null {
    return this.#isNil() ? null : this.text();
  }

  /**
   * Reads one value, which may contain opaque bytes: these are a part of the message, not a copy. Objects and arrays are
   * frozen if `frozen`.
   */
  value(frozen: boolean): unknown {
    const first = this.#byte();
    if (first < 0x80) return first;
    if (first < 0x90) return this.#object(first & 0x0f, frozen);
    if (first < 0xa0) return this.#list(first & 0x0f, frozen);
    if (first < 0xc0) return this.#text(first & 0x1f);
    if (first >= 0xe0) return first - 0x100;
    switch (first) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.#binary(this.#byte());
      case 0xc5:
        return this.#binary(this.#uint(2));
      case 0xc6:
        return this.#binary(this.#uint(4));
      case 0xd9:
        return this.#text(this.#byte());
      case 0xda:
        return this.#text(this.#uint(2));
      case 0xdb:
        return this.#text(this.#uint(4));
      case 0xdc:
        return this.#list(this.#uint(2), frozen);
      case 0xdd:
        return this.#list(this.#uint(4), frozen);
      case 0xde:
        return this.#object(this.#uint(2), frozen);
      case 0xdf:
        return this.#object(this.#uint(4), frozen);
      default:
        return this.#longNumber(first);
    }
  }

  #list(count: number, frozen: boolean): readonly unknown[] {
    if (this.#isStrict) this.#admit(count);
    const items: unknown[] = [];
    for (let i = 0; i < count; i += 1) items.push(this.value(frozen));
    return frozen ? Object.freeze(items) : items;
  }

  #object(count: number, frozen: boolean): object {
    if (this.#isStrict) this.#admit(count);
    const object: Record<string, unknown> = {};
    for (let i = 0; i < count; i += 1) setOwn(object, this.text(), this.value(frozen));
    return frozen ? Object.freeze(object) : object;
  }

  /** Counts a list or map, before it takes memory. */
  #admit(count: number): void {
    this.#items += CONTAINER_ITEMS + count;
    if (this.#items > this.#maxItems) throw new RangeError(`The message has more than ${this.#maxItems} items`);
  }

  /** Reads the number behind its first byte. */
  #longNumber(first: number): number {
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
      case 0xca:
        return this.#bytes.readFloatBE(this.#taken(4));
      case 0xcb:
        return this.#bytes.readDoubleBE(this.#taken(8));
      case 0xcf:
        return Number(this.#bytes.readBigUInt64BE(this.#taken(8)));
      case 0xd3:
        return Number(this.#bytes.readBigInt64BE(this.#taken(8)));
      default:
        throw unexpected(first);
    }
  }

  #binary(length: number): Uint8Array {
    if (this.#isStrict) throw new RangeError('The message has opaque bytes in a value');
    const start = this.#taken(length);
    return this.#bytes.subarray(start, this.#at);
  }

  #text(length: number): string {
    const start = this.#taken(length);
    const text = length <= SHORT_STRING ? this.#short(start, this.#at) : this.#bytes.toString('utf8', start, this.#at);
    // Decoding replaces bytes that are not UTF-8 by this character, without a word.
    if (this.#isStrict && text.includes('\u{fffd}') && !isUtf8(this.#bytes.subarray(start, this.#at))) {
      throw new RangeError('The message has text that is not UTF-8');
    }
    return text;
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
      case 0xca:
      case 0xce:
      case 0xd2:
        return this.#pass(4);
      case 0xcb:
      case 0xcf:
      case 0xd3:
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
    const at = this.#taken(bytes);
    return bytes === 2 ? this.#bytes.readUInt16BE(at) : this.#bytes.readUInt32BE(at);
  }

  /** Moves on by this many bytes and returns the index of the first. */
  #taken(count: number): number {
    const start = this.#at;
    this.#at = start + count;
    if (this.#at > this.#bytes.length) throw new RangeError('The message ends too early');
    return start;
  }
}

function unexpected(first: number): RangeError {
  return new RangeError(`The message has an unexpected byte 0x${first.toString(16)}`);
}
