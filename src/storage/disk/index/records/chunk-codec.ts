import { crc32 } from 'node:zlib';
import type { LocatedUpdate, UpdateLocation } from '../../log/logged-update.ts';
import { corrupt } from '../leveldb/sealed.ts';

/**
 * Format of a chunk: where consecutive updates of one namespace lie in the log.
 *
 * CRC-32 of the rest (4 bytes), number of updates (2 bytes), position of the last update and end of its bytes (8 bytes
 * each, floating point), then for each update: distance of its position from the one before, distance of its offset
 * from the end of the one before (zigzag), twice its length plus 1 for a drop, all three as variable-length
 * integers, and its checksum (4 bytes). Everything is little-endian. An update takes about 11 bytes.
 */

/** The updates of a chunk, by their index in it. */
export interface Chunk {
  readonly positions: readonly number[];
  readonly locations: readonly UpdateLocation[];
  /** `true` for an update that dropped the namespace. */
  readonly drops: readonly boolean[];
}

/** Bytes before the updates. */
const HEADER = 4 + 2 + 8 + 8;
/** Greatest number of bytes of an update: three variable-length integers of 53 bits, and a checksum. */
const MOST_BYTES = 3 * 8 + 4;

/** Encodes a chunk: the updates of a record before, followed by `more`. */
export function encodeChunk(before: Uint8Array | undefined, more: readonly LocatedUpdate[]): Uint8Array {
  const start = before?.length ?? HEADER;
  const buffer = Buffer.allocUnsafe(start + more.length * MOST_BYTES);
  let count = 0;
  let position = 0;
  let end = 0;
  if (before !== undefined) {
    buffer.set(before);
    count = buffer.readUInt16LE(4);
    position = buffer.readDoubleLE(6);
    end = buffer.readDoubleLE(14);
  }
  let at = start;
  for (const update of more) {
    at = writeNumber(buffer, at, update.position - position);
    const distance = update.offset - end;
    at = writeNumber(buffer, at, distance < 0 ? -2 * distance - 1 : 2 * distance);
    at = writeNumber(buffer, at, 2 * update.length + (update.drop ? 1 : 0));
    at = buffer.writeUInt32LE(update.checksum, at);
    position = update.position;
    end = update.offset + update.length;
  }
  buffer.writeUInt16LE(count + more.length, 4);
  buffer.writeDoubleLE(position, 6);
  buffer.writeDoubleLE(end, 14);
  const bytes = buffer.subarray(0, at);
  bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0);
  return bytes;
}

/**
 * Returns the number of updates in a record.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT`.
 */
export function countOf(record: Uint8Array): number {
  return checked(record).readUInt16LE(4);
}

/**
 * Decodes what {@link encodeChunk} has encoded.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT`.
 */
export function decodeChunk(record: Uint8Array): Chunk {
  const buffer = checked(record);
  const count = buffer.readUInt16LE(4);
  const positions: number[] = [];
  const locations: UpdateLocation[] = [];
  const drops: boolean[] = [];
  const reader = new NumberReader(buffer, HEADER);
  let position = 0;
  let end = 0;
  for (let index = 0; index < count; index += 1) {
    position += reader.next();
    const distance = reader.next();
    const offset = end + (distance % 2 === 0 ? distance / 2 : -(distance + 1) / 2);
    const length = reader.next();
    const checksum = reader.checksum();
    positions.push(position);
    drops.push(length % 2 === 1);
    end = offset + Math.floor(length / 2);
    locations.push({ offset, length: end - offset, checksum });
  }
  return { positions, locations, drops };
}

function checked(record: Uint8Array): Buffer {
  const buffer = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  if (buffer.length < HEADER || buffer.readUInt32LE(0) !== crc32(buffer.subarray(4))) {
    throw corrupt('Updates in the past of a namespace do not match their checksum');
  }
  return buffer;
}

function writeNumber(buffer: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    buffer[at++] = (rest % 0x80) | 0x80;
    rest = rest < 0x80000000 ? rest >>> 7 : Math.floor(rest / 0x80);
  }
  buffer[at++] = rest;
  return at;
}

class NumberReader {
  readonly #buffer: Buffer;
  #at: number;

  constructor(buffer: Buffer, at: number) {
    this.#buffer = buffer;
    this.#at = at;
  }

  next(): number {
    let value = 0;
    for (let unit = 1; ; unit *= 0x80) {
      const byte = this.#buffer[this.#at++] as number;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return value;
    }
  }

  checksum(): number {
    this.#at += 4;
    return this.#buffer.readUInt32LE(this.#at - 4);
  }
}
