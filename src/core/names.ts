import { ContextCacheError } from './errors.ts';
import { joinNamespace } from './namespace-parts.ts';

/** Largest size of a namespace, in bytes of UTF-8. */
export const MAX_NAMESPACE_BYTES = 1_024;

/**
 * Largest size of a key, in bytes of UTF-8. What a cache accepts in a write is smaller: `limits.maxKeyBytes`. Everything
 * else takes keys up to this size, because a cache with larger limits may have written them.
 */
export const MAX_KEY_BYTES = 65_536;

/** The namespace that always exists, and that a call uses if it names none. */
export const DEFAULT_NAMESPACE = 'default';

/**
 * Checks a namespace or key: a well-formed string within the limit. Only a namespace must not be empty. No name is
 * special.
 *
 * @param maxBytes Largest size in bytes of UTF-8. Default: {@link MAX_NAMESPACE_BYTES} or {@link MAX_KEY_BYTES}.
 * @throws {ContextCacheError} `INVALID_NAME`.
 */
export function checkName(
  what: 'namespace' | 'key',
  name: unknown,
  maxBytes: number = what === 'key' ? MAX_KEY_BYTES : MAX_NAMESPACE_BYTES,
): asserts name is string {
  // A UTF-16 unit becomes at most three bytes of UTF-8, so a short name needs no measuring.
  if (typeof name === 'string' && name.length > 0 && 3 * name.length <= maxBytes && name.isWellFormed()) return;
  throwUnlessValid(what, name, maxBytes);
}

function throwUnlessValid(what: 'namespace' | 'key', name: unknown, maxBytes: number): void {
  if (Array.isArray(name) && what === 'namespace') {
    joinNamespace(name);
    const remedy = 'join its parts with joinNamespace(parts)';
    throw new ContextCacheError('INVALID_NAME', `A namespace must be a string here, not an array: ${remedy}.`);
  }
  if (typeof name !== 'string') {
    throw new ContextCacheError(
      'INVALID_NAME',
      `A ${what} must be a string, not ${name === null ? 'null' : typeof name}.`,
    );
  }
  if (name.length === 0 && what === 'namespace')
    throw new ContextCacheError('INVALID_NAME', 'A namespace must not be empty.');
  if (!name.isWellFormed()) {
    throw new ContextCacheError(
      'INVALID_NAME',
      `A ${what} must be well-formed Unicode; this one has a lone surrogate.`,
    );
  }
  const bytes = Buffer.byteLength(name);
  if (bytes > maxBytes) {
    const isRaisable = what === 'key' && maxBytes < MAX_KEY_BYTES;
    const remedy = isRaisable ? ' Use a shorter one, or raise limits.maxKeyBytes.' : '';
    throw new ContextCacheError(
      'INVALID_NAME',
      `A ${what} may have ${maxBytes} bytes in UTF-8; this one has ${bytes}.${remedy}`,
    );
  }
}

/**
 * Compares names by Unicode code point, the order of all lists of names. It is also the order of their UTF-8 bytes, and
 * so the same in every language. JavaScript's own `<` differs for characters beyond U+FFFF.
 */
export function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above every other unit, so that they rank last. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** A unit of UTF-16 from which on the order of code points differs from JavaScript's own. */
const HIGH_UNIT = /[\ud800-\uffff]/;

/**
 * Sorts names in place like {@link compareNames}. If no name has a character from U+D800 on, JavaScript's own order is
 * the same and four times as fast.
 */
export function sortNames(names: string[]): string[] {
  return names.some((name) => HIGH_UNIT.test(name)) ? names.sort(compareNames) : names.sort();
}

/**
 * Percent-encodes `%` and `:` and nothing else, so that `namespace:key` splits at its first colon into exactly one
 * pair: `a:b` + `c` and `a` + `b:c` differ.
 */
export function encodeNamespace(namespace: string): string {
  // Most names need no encoding, and looking for both characters takes a tenth of the time of replacing them.
  if (!namespace.includes(':') && !namespace.includes('%')) return namespace;
  return namespace.replace(/[%:]/g, (character) => (character === '%' ? '%25' : '%3A'));
}

/** Decodes what {@link encodeNamespace} returned. */
export function decodeNamespace(encoded: string): string {
  return encoded.replace(/%25|%3A/g, (code) => (code === '%25' ? '%' : ':'));
}
