import { type JsonValue, setOwn } from './value.ts';

/** An envelope with this property holds bytes, as base64. */
const BYTES = '$bytes';

/** An envelope with this property holds the JSON text of a string. */
const TEXT = '$text';

/** An envelope with this property holds the properties of an object, as pairs of name and value. */
const ENTRIES = '$entries';

const MARKS: ReadonlySet<string> = new Set([BYTES, TEXT, ENTRIES]);

/** Depth from which on values are left as they are. Ends the walk before the stack does; a cache refuses 256 levels by default. */
const MAX_DEPTH = 1_000;

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Returns a JSON value that stands for `value`. Puts bytes, and what a cache refuses although JSON text has it, in an
 * envelope, which is an object with one property:
 *
 * - `{ $bytes: 'AAEC' }`: a `Uint8Array`, in base64.
 * - `{ $text: '"\\ud83d"' }`: JSON text of a string with half a surrogate pair.
 * - `{ $entries: [['$text', 'a']] }`: names and values of an object whose names have half a surrogate pair, or that looks
 *   like an envelope itself.
 *
 * Envelopes are as deep inside as possible, so that everything around them stays readable. Returns `value` itself if it
 * needs none. Does not change other values, such as a `Date`: the write refuses them with their path.
 *
 * @example
 * ```ts
 * toJsonValue({ name: 'Ada', photo: new Uint8Array([0, 1, 2]) }); // { name: 'Ada', photo: { $bytes: 'AAEC' } }
 * ```
 */
export function toJsonValue(value: unknown): JsonValue {
  return enclosed(value, []) as JsonValue;
}

/**
 * Returns the value that {@link toJsonValue} was given, as a new one that the caller may change. An envelope that it never
 * writes, such as one with invalid base64, stays as it is.
 */
export function fromJsonValue(value: JsonValue): unknown {
  return opened(value);
}

/** `around` are the objects that the value is in. A cycle is left as it is, for the write to refuse it. */
function enclosed(value: unknown, around: object[]): unknown {
  if (typeof value === 'string') return value.isWellFormed() ? value : { [TEXT]: JSON.stringify(value) };
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) {
    return { [BYTES]: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') };
  }
  if (!isPlain(value) || around.length >= MAX_DEPTH || around.includes(value)) return value;
  around.push(value);
  const inner = mapped(value, (each) => enclosed(each, around));
  around.pop();
  if (Array.isArray(inner) || !(isMarked(inner) || Object.keys(inner).some((name) => !name.isWellFormed())))
    return inner;
  const entries = Object.entries(inner).filter(([, each]) => each !== undefined);
  return { [ENTRIES]: entries.map(([name, each]) => [enclosed(name, []), each]) };
}

function opened(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(opened);
  return (isMarked(value) ? content(value) : undefined) ?? ownCopy(value, opened);
}

/** Returns what is in an envelope; `undefined` for an object that merely looks like one. */
function content(envelope: object): unknown {
  const { [BYTES]: base64, [TEXT]: text, [ENTRIES]: entries } = envelope as { readonly [mark: string]: unknown };
  if (typeof base64 === 'string' && BASE64.test(base64)) return new Uint8Array(Buffer.from(base64, 'base64'));
  if (typeof text === 'string') return textOf(text);
  if (!Array.isArray(entries)) return undefined;
  const object: Record<string, unknown> = {};
  for (const entry of entries) {
    const [name, value] = Array.isArray(entry) && entry.length === 2 ? entry.map(opened) : [];
    if (typeof name !== 'string') return undefined;
    setOwn(object, name, value);
  }
  return object;
}

function textOf(json: string): string | undefined {
  try {
    const text: unknown = JSON.parse(json);
    return typeof text === 'string' ? text : undefined;
  } catch {
    return undefined;
  }
}

/** Returns whether an object has one property, of an envelope. A write leaves out a property that is `undefined`. */
function isMarked(value: object): boolean {
  let marks = 0;
  for (const [name, inner] of Object.entries(value)) {
    if (inner === undefined) continue;
    if (marks > 0 || !MARKS.has(name)) return false;
    marks += 1;
  }
  return marks === 1;
}

function isPlain(value: object): boolean {
  if (Array.isArray(value)) return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Maps what is directly inside an object or array. Returns the same one if nothing changes. */
function mapped(value: object, map: (inner: unknown) => unknown): object {
  let copy: Record<string, unknown> | unknown[] | undefined;
  for (const name of Object.keys(value)) {
    const inner = (value as Record<string, unknown>)[name];
    const changed = map(inner);
    if (changed === inner) continue;
    copy ??= Array.isArray(value) ? value.slice() : ownCopy(value, (each) => each);
    setOwn(copy as Record<string, unknown>, name, changed);
  }
  return copy ?? value;
}

function ownCopy(value: object, map: (inner: unknown) => unknown): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(value)) setOwn(copy, name, map((value as Record<string, unknown>)[name]));
  return copy;
}
