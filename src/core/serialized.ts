import { fromJsonValue, toJsonValue } from './envelope.ts';
import type { JsonValue } from './value.ts';

/** An object with this one property holds a value that a framework gave as it is, not as text. */
const RAW = '$raw';

/**
 * Returns the JSON value to store for what a framework that serializes values gives to its store:
 *
 * - JSON text of anything but a string: the value itself, which every tool can read. Only if `JSON.stringify` gives the same
 *   text again, because the framework must get back what it gave.
 * - Any other text: the text. Bytes, and half a surrogate pair: envelopes, as by {@link toJsonValue}.
 * - A value that is neither text nor bytes: `{ $raw: value }`.
 *
 * @example
 * ```ts
 * packSerialized('{"name":"Ada"}'); // { name: 'Ada' }
 * packSerialized('Ada'); // 'Ada'
 * packSerialized({ name: 'Ada' }); // { $raw: { name: 'Ada' } }
 * ```
 */
export function packSerialized(given: unknown): JsonValue {
  if (typeof given === 'string') return toJsonValue(parsedExactly(given));
  return given instanceof Uint8Array ? toJsonValue(given) : { [RAW]: toJsonValue(given) };
}

/** Returns what {@link packSerialized} was given. */
export function unpackSerialized(stored: JsonValue): unknown {
  const value = fromJsonValue(stored);
  if (typeof value === 'string' || value instanceof Uint8Array) return value;
  return isRaw(value) ? value[RAW] : JSON.stringify(value);
}

function parsedExactly(text: string): unknown {
  // Saves the attempt for most texts that are no JSON.
  if (!/^[[{\d\-ntf]/.test(text)) return text;
  try {
    const value: unknown = JSON.parse(text);
    return JSON.stringify(value) === text && !isRaw(value) ? value : text;
  } catch {
    return text;
  }
}

function isRaw(value: unknown): value is { readonly [RAW]: unknown } {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, RAW) && Object.keys(value).length === 1;
}
