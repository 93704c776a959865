import { decode, encode, freezeDeep } from './codec.ts';
import type { EntryRecord } from './namespace-state.ts';
import type { JsonValue } from './value.ts';

/** An entry as it is stored and hashed: encoded, so that it is moved and compared without decoding its value. */
export interface StoredEntry {
  readonly expiresAt: number | null;
  readonly bytes: Uint8Array;
}

/** The value comes last, and is left out where it is kept elsewhere. Equal entries give equal bytes. */
export function encodeEntry(entry: EntryRecord): StoredEntry {
  const { version, createdAt, updatedAt, expiresAt, agent, bytes, value } = entry;
  const fields = [version, createdAt, updatedAt - createdAt, agent, bytes];
  return { expiresAt, bytes: encode(value === undefined ? fields : [...fields, value]) };
}

/** The inverse of {@link encodeEntry}. */
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
