import type { EntryRecord } from '../namespace-state.ts';
import type { JsonValue } from '../value.ts';
import { decode, freezeDeep } from './codec.ts';
import { MessageWriter } from './message-writer.ts';

const writer = new MessageWriter();

/** An encoded entry, as it is stored and hashed. It is moved and compared without decoding its value. */
export interface StoredEntry {
  readonly expiresAt: number | null;
  readonly bytes: Uint8Array;
}

/** Encodes an entry, with the value last or, if it is kept elsewhere, without it. Equal entries give equal bytes. */
export function encodeEntry(entry: EntryRecord): StoredEntry {
  const { version, createdAt, updatedAt, expiresAt, agent, bytes, value } = entry;
  writer.begin();
  writer.array(value === undefined ? 5 : 6);
  writer.number(version);
  writer.number(createdAt);
  writer.number(updatedAt - createdAt);
  writer.value(agent);
  writer.number(bytes);
  if (value !== undefined) writer.value(value);
  return { expiresAt, bytes: writer.end() };
}

/** Decodes what {@link encodeEntry} returned. */
export function decodeEntry(stored: StoredEntry): EntryRecord {
  const fields = decode(stored.bytes) as [number, number, number, string | null, number, JsonValue?];
  const [version, createdAt, age, agent, bytes, value] = fields;
  return {
    value: fields.length < 6 ? undefined : freezeDeep(value),
    version,
    createdAt,
    updatedAt: createdAt + age,
    expiresAt: stored.expiresAt,
    agent,
    bytes,
  };
}
