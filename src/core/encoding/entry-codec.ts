import type { EntryRecord } from '../namespace-state.ts';
import type { JsonValue } from '../value.ts';
import { reader } from './codec.ts';
import { MessageWriter } from './message-writer.ts';
import { readWholeOrigin, writeOrigin } from './origin-codec.ts';

const writer = new MessageWriter();

/**
 * A value that is still encoded: a part of `bytes`. It takes the place of the value where entries are moved and nothing
 * reads it. Valid as long as `bytes` do not change.
 */
export class EncodedValue {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  /** Returns this as what it stands for, for a state that nothing reads values from. */
  get asValue(): JsonValue {
    return this as unknown as JsonValue;
  }
}

/** An encoded entry, as it is stored and hashed. It is moved and compared without decoding its value. */
export interface StoredEntry {
  readonly expiresAt: number | null;
  readonly bytes: Uint8Array;
}

/** Encodes an entry, with the value last or, if it is kept elsewhere, without it. Equal entries give equal bytes. */
export function encodeEntry(entry: EntryRecord): StoredEntry {
  const { version, createdAt, updatedAt, expiresAt, agent, bytes, value, meta } = entry;
  writer.begin();
  writer.array(value === undefined ? 5 : 6);
  writer.number(version);
  writer.number(createdAt);
  writer.number(updatedAt - createdAt);
  writeOrigin(writer, { agent, meta });
  writer.number(bytes);
  const given: unknown = value;
  if (given instanceof EncodedValue) writer.raw(given.bytes.subarray(given.start, given.end));
  else if (value !== undefined) writer.value(value);
  return { expiresAt, bytes: writer.end() };
}

/**
 * Decodes what {@link encodeEntry} returned.
 *
 * @throws {RangeError} if the bytes are not one entry.
 */
export function decodeEntry(stored: StoredEntry): EntryRecord {
  const entry = entryOf(stored, () => reader.value(true) as JsonValue);
  reader.end();
  return entry;
}

/** Decodes everything but the value. See {@link decodeEntry}. */
export function decodeAround(stored: StoredEntry): EntryRecord {
  return entryOf(stored, (bytes) => new EncodedValue(bytes, reader.at, bytes.length).asValue);
}

function entryOf({ expiresAt, bytes: stored }: StoredEntry, valueIn: (bytes: Buffer) => JsonValue): EntryRecord {
  const from = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  reader.begin(from);
  const fields = reader.array();
  const version = reader.number();
  const createdAt = reader.number();
  const updatedAt = createdAt + reader.number();
  const origin = readWholeOrigin();
  const agent = origin === undefined ? reader.textOrNull() : origin.agent;
  const bytes = reader.number();
  const value = fields < 6 ? undefined : valueIn(from);
  return { value, version, createdAt, updatedAt, expiresAt, agent, bytes, meta: origin?.meta };
}
