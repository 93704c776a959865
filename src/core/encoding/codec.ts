import { Unpackr } from 'msgpackr';
import { type JsonValue, setOwn } from '../value.ts';
import { MessageWriter } from './message-writer.ts';

const writer = new MessageWriter();
const fastUnpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });
const exactUnpackr = new Unpackr({ useRecords: false, mapsAsObjects: false });

/** The fast decoder renames a property `__proto__`; bytes that may contain one use the exact decoder. */
const RENAMED = Buffer.from('__proto__');

/** Encodes a JSON value (or an array or plain object of them, and of `Uint8Array`s) as MessagePack. */
export function encode(value: unknown): Buffer {
  writer.begin();
  writer.value(value);
  return writer.end();
}

/** Decodes what {@link encode} returned. The result is not frozen. */
export function decode(bytes: Uint8Array): unknown {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.includes(RENAMED) ? mapsToObjects(exactUnpackr.unpack(buffer)) : fastUnpackr.unpack(buffer);
}

/**
 * Decodes one or more values that lie one behind the other. `take` receives each with its first byte and the first one behind it. Returns their
 * number.
 */
export function decodeEach(bytes: Buffer, take: (value: unknown, start: number, end: number) => void): number {
  const isExact = bytes.includes(RENAMED);
  const bounds: [number, number][] = [];
  let count = 0;
  fastUnpackr.unpackMultiple(bytes, (value: unknown, start = 0, end = 0) => {
    count += 1;
    if (isExact) bounds.push([start, end]);
    else take(value, start, end);
  });
  for (const [start, end] of bounds) take(decode(bytes.subarray(start, end)), start, end);
  return count;
}

/** Decodes a stored value and freezes it deeply, as every value in the cache is. */
export function decodeValue(bytes: Uint8Array): JsonValue {
  return freezeDeep(decode(bytes) as JsonValue);
}

/** Freezes a value that this process created. Listing the properties would take twice as long. */
export function freezeDeep<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) for (let i = 0; i < value.length; i += 1) freezeDeep(value[i]);
  else for (const name in value) freezeDeep(value[name]);
  return Object.freeze(value);
}

function mapsToObjects(decoded: unknown): unknown {
  if (Array.isArray(decoded)) return decoded.map(mapsToObjects);
  if (!(decoded instanceof Map)) return decoded;
  const object = {};
  for (const [name, inner] of decoded) setOwn(object, String(name), mapsToObjects(inner));
  return object;
}
