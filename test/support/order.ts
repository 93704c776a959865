import fc from 'fast-check';
import type { RangeOptions } from '../../src/index.ts';

/** Few different characters, so that texts share prefixes; some of them lie on both sides of the surrogates. */
const CHARACTERS = ['a', 'b', '/', '\0', '\u{d7ff}', '\u{e000}', '\u{ffff}', '\u{10000}', '\u{10ffff}'];

export const anyText = fc.string({ unit: fc.constantFrom(...CHARACTERS), minLength: 1, maxLength: 4 });

export function byUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Returns the names that a read in order must return. */
export function inRange(names: readonly string[], options: RangeOptions): string[] {
  const { prefix = '', from, to, after, reverse = false, limit } = options;
  const found = names
    .filter((name) => Buffer.from(name).subarray(0, Buffer.byteLength(prefix)).equals(Buffer.from(prefix)))
    .filter((name) => from === undefined || byUtf8(name, from) >= 0)
    .filter((name) => to === undefined || byUtf8(name, to) <= 0)
    .filter((name) => after === undefined || (reverse ? byUtf8(name, after) < 0 : byUtf8(name, after) > 0))
    .sort(byUtf8);
  return (reverse ? found.reverse() : found).slice(0, limit);
}
