import type { SerializerProtocol } from '@langchain/langgraph-checkpoint';
import { fromJsonValue, type JsonValue, toJsonValue } from '../index.ts';

/** What a serializer made of a value, as it is stored: JSON as JSON, anything else as bytes with the serializer's name for it. */
export type Serialized = { readonly json: JsonValue } | { readonly type: string; readonly bytes: JsonValue };

/** A checkpoint as it is stored. */
export interface StoredCheckpoint {
  readonly checkpoint: Serialized;
  readonly metadata: Serialized;
  readonly parent?: string;
}

/** What is stored of a write that a task makes after a checkpoint. */
export interface StoredWrite {
  readonly channel: string;
  readonly value: Serialized;
  readonly taskPath: string;
}

/** Name of the property that frameworks assign to, which changes the prototype of the object instead. */
const PROTO = '__proto__';

/** Returns what is stored of a value. */
export async function serialized(serde: SerializerProtocol, value: unknown): Promise<Serialized> {
  const [type, bytes] = await serde.dumpsTyped(value);
  if (type !== 'json') return { type, bytes: toJsonValue(bytes) };
  return { json: toJsonValue(JSON.parse(new TextDecoder().decode(bytes))) };
}

/** Returns the value again. */
export async function deserialized(serde: SerializerProtocol, stored: Serialized): Promise<unknown> {
  if (!('json' in stored)) return serde.loadsTyped(stored.type, fromJsonValue(stored.bytes) as Uint8Array);
  const text = JSON.stringify(fromJsonValue(stored.json));
  if (!text.includes(`"${PROTO}":`)) return serde.loadsTyped('json', text);
  // The framework's serializer would lose properties of this name, so they have another one meanwhile.
  let substitute = PROTO;
  while (text.includes(substitute)) substitute += '_';
  const renamed = JSON.stringify(fromJsonValue(stored.json), (_, inner: unknown) => withName(inner, PROTO, substitute));
  return restored(await serde.loadsTyped('json', renamed), substitute, new Set());
}

/** Returns an object with one of its properties renamed, in the same order; anything else as it is. */
function withName(value: unknown, from: string, to: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, from)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name === from ? to : name, inner]));
}

/** Gives properties their name again, in place, in everything that a serializer makes of JSON. */
function restored(value: unknown, substitute: string, seen: Set<object>): unknown {
  if (typeof value !== 'object' || value === null || seen.has(value) || ArrayBuffer.isView(value)) return value;
  seen.add(value);
  if (value instanceof Map || value instanceof Set) {
    for (const inner of value instanceof Map ? [...value].flat() : value) restored(inner, substitute, seen);
    return value;
  }
  for (const name of Object.keys(value)) {
    const inner = restored((value as Record<string, unknown>)[name], substitute, seen);
    if (name !== substitute) continue;
    delete (value as Record<string, unknown>)[name];
    Object.defineProperty(value, PROTO, { value: inner, enumerable: true, configurable: true, writable: true });
  }
  return value;
}
