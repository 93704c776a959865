import type { JsonValue } from '../value.ts';
import { MessageReader } from './message-reader.ts';
import { MessageWriter } from './message-writer.ts';

const writer = new MessageWriter();

/** The reader of everything that is decoded. A user reads to the end of its piece before anything else may begin one. */
export const reader = new MessageReader();

/** Encodes a JSON value (or an array or plain object of them, and of `Uint8Array`s) as MessagePack. */
export function encode(value: unknown): Buffer {
  writer.begin();
  writer.value(value);
  return writer.end();
}

/**
 * Decodes what {@link encode} returned. The result is not frozen.
 *
 * @throws {RangeError} if the bytes are not one value.
 */
export function decode(bytes: Uint8Array): unknown {
  return decodeOne(bytes, false);
}

/** Decodes a stored value, frozen deeply as every value in the cache is. */
export function decodeValue(bytes: Uint8Array): JsonValue {
  return decodeOne(bytes, true) as JsonValue;
}

function decodeOne(bytes: Uint8Array, frozen: boolean): unknown {
  reader.begin(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const value = reader.value(frozen);
  reader.end();
  return value;
}
