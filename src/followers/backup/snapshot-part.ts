import { reader } from '../../core/encoding/codec.ts';
import { MessageWriter } from '../../core/encoding/message-writer.ts';
import { readWholeOrigin, writeOrigin } from '../../core/encoding/origin-codec.ts';
import type { EntryRecord } from '../../core/namespace-state.ts';
import type { JsonValue } from '../../core/value.ts';

/** Bytes of the head of a MessagePack array with a length of 32 bits: a tag and the length. */
const HEADER_BYTES = 5;
const ARRAY_32 = 0xdd;

const writer = new MessageWriter();

/**
 * Collects entries into a part: a MessagePack array of
 * `[key, version, createdAt, updatedAt, expiresAt, agent, bytes, value]`, without the value if the cache does not hold it.
 * Encodes one entry at a time, so that a whole part never blocks the event loop.
 */
export class PartBuilder {
  #rows: Uint8Array[] = [];
  #bytes = HEADER_BYTES;

  /** Bytes so far. */
  get bytes(): number {
    return this.#bytes;
  }

  get empty(): boolean {
    return this.#rows.length === 0;
  }

  /** Adds an encoded entry, see {@link encodeRow}. */
  add(row: Uint8Array): void {
    this.#rows.push(row);
    this.#bytes += row.length;
  }

  /** Returns the part, and begins another one. */
  take(): Uint8Array {
    const header = Buffer.alloc(HEADER_BYTES);
    header[0] = ARRAY_32;
    header.writeUInt32BE(this.#rows.length, 1);
    const part = Buffer.concat([header, ...this.#rows], this.#bytes);
    this.#rows = [];
    this.#bytes = HEADER_BYTES;
    return part;
  }
}

/** Encodes an entry for a part. */
export function encodeRow(key: string, entry: EntryRecord): Uint8Array {
  const { value, version, createdAt, updatedAt, expiresAt, agent, bytes, meta } = entry;
  writer.begin();
  writer.array(value === undefined ? 7 : 8);
  writer.text(key);
  writer.number(version);
  writer.number(createdAt);
  writer.number(updatedAt);
  writer.value(expiresAt);
  writeOrigin(writer, { agent, meta });
  writer.number(bytes);
  if (value !== undefined) writer.value(value);
  return writer.end();
}

/**
 * Puts the entries of a part into `entries`, values deep-frozen. An entry that comes twice is the same both times.
 *
 * @throws {RangeError} if the bytes are not one part.
 */
export function decodePart(part: Uint8Array, entries: Map<string, EntryRecord>): void {
  reader.begin(Buffer.from(part.buffer, part.byteOffset, part.byteLength));
  for (let left = reader.array(); left > 0; left -= 1) {
    const fields = reader.array();
    const key = reader.text();
    const version = reader.number();
    const createdAt = reader.number();
    const updatedAt = reader.number();
    const expiresAt = reader.numberOrNull();
    const origin = readWholeOrigin();
    const agent = origin === undefined ? reader.textOrNull() : origin.agent;
    const bytes = reader.number();
    const value = fields < 8 ? undefined : (reader.value(true) as JsonValue);
    entries.set(key, { value, version, createdAt, updatedAt, expiresAt, agent, bytes, meta: origin?.meta });
  }
  reader.end();
}
