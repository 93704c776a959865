import { ContextCacheError, type Entry, type JsonValue } from '../index.ts';

/** Characters of a value that is too long for a page, which shows its start. */
const PREVIEW = 200;

/** Collects the items of a result up to a number and a size. */
export class Page<Item extends object> {
  readonly items: Item[] = [];
  readonly #limit: number;
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(limit: number, maxBytes: number) {
    this.#limit = limit;
    this.#maxBytes = maxBytes;
  }

  /** Adds an item; returns `false` if it must wait for the next page. The first item always fits. */
  add(item: Item): boolean {
    const bytes = Buffer.byteLength(JSON.stringify(item)) + 1;
    const isFull = this.items.length >= this.#limit || this.#bytes + bytes > this.#maxBytes;
    if (isFull && this.items.length > 0) return false;
    this.#bytes += bytes;
    this.items.push(item);
    return true;
  }
}

/** A value in a page: itself, or the start of its JSON text if it is too long. */
export type Shown = { readonly value: JsonValue } | { readonly preview: string; readonly bytes: number };

/** Returns a value for a page of `maxBytes`. One that takes more than an eighth of the page is shown by its start. */
export function shown(value: JsonValue, maxBytes: number): Shown {
  const text = JSON.stringify(value);
  const bytes = Buffer.byteLength(text);
  return bytes <= maxBytes / 8 ? { value } : { preview: text.slice(0, cut(text, 0, PREVIEW)), bytes };
}

/**
 * Returns a part of a value's JSON text from `offset` that takes at most `maxBytes` as a JSON string, and where the next one
 * starts. A UTF-16 unit of JSON text takes at most 3 bytes.
 */
export function partOf(text: string, offset: number, maxBytes: number): { text: string; next?: number } {
  const end = cut(text, offset, Math.floor(maxBytes / 3));
  return { text: text.slice(offset, end), ...(end < text.length ? { next: end } : {}) };
}

/** Returns the end of a part of `length` units that does not cut a character in two. */
function cut(text: string, offset: number, length: number): number {
  const end = Math.min(text.length, offset + length);
  const unit = text.charCodeAt(end - 1);
  return end < text.length && end - 1 > offset && unit >= 0xd800 && unit <= 0xdbff ? end - 1 : end;
}

/** Returns the fields of an entry besides its value. Instants are ISO texts, which models read better than numbers. */
export function about(entry: Entry): Record<string, JsonValue> {
  const { version, agent, createdAt, updatedAt, expiresAt, meta } = entry;
  return {
    ...{ version, agent, createdAt: iso(createdAt), updatedAt: iso(updatedAt) },
    ...(expiresAt === null ? {} : { expiresAt: iso(expiresAt) }),
    ...(meta === undefined ? {} : { meta }),
    ...notesOf(entry),
  };
}

type Notes = Pick<Entry, 'retraction' | 'stale' | 'forgotten' | 'sealed'>;

/** Returns the marks that `retract` and `forget` have put on an entry, an update or a version. */
export function notesOf({ retraction, stale, forgotten, sealed }: Notes): Record<string, JsonValue> {
  const notes = Object.entries({ retraction, stale, forgotten, sealed });
  return Object.fromEntries(notes.filter(([, note]) => note !== undefined)) as Record<string, JsonValue>;
}

/** Returns an instant as an ISO text. */
export function iso(instant: number): string {
  return new Date(instant).toISOString();
}

/** Returns names as a text that the client hands back to go on behind them. */
export function cursorOf(...names: readonly string[]): string {
  return Buffer.from(JSON.stringify(names)).toString('base64url');
}

/**
 * Returns the names in a cursor; none without a cursor.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` if the text is no such cursor.
 */
export function namesIn(cursor: string | undefined, count: number): readonly string[] {
  if (cursor === undefined) return [];
  try {
    const names: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(names) && names.length === count && names.every((name) => typeof name === 'string')) return names;
  } catch {}
  throw new ContextCacheError('INVALID_OPTION', 'cursor must be the "next" of the page before, unchanged.');
}

/** Applies a JSON merge patch (RFC 7396): objects are merged, `null` removes a property, anything else replaces. */
export function mergePatch(value: JsonValue | undefined, patch: JsonValue): JsonValue {
  if (!isObject(patch)) return patch;
  const merged = new Map(isObject(value) ? Object.entries(value) : []);
  for (const [name, part] of Object.entries(patch)) {
    if (part === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), part));
  }
  return Object.fromEntries(merged);
}

/** Returns whether a text, in lower case, occurs in a value: in its strings, its numbers or the names of its properties. */
export function contains(value: JsonValue, text: string): boolean {
  if (typeof value === 'string') return value.toLowerCase().includes(text);
  if (Array.isArray(value)) return value.some((item) => contains(item, text));
  if (isObject(value))
    return Object.entries(value).some(([name, item]) => name.toLowerCase().includes(text) || contains(item, text));
  return String(value).includes(text);
}

function isObject(value: JsonValue | undefined): value is { readonly [name: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
