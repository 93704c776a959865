import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContextCacheError } from '../../src/core/errors.ts';
import {
  checkName,
  compareNames,
  decodeNamespace,
  encodeNamespace,
  MAX_KEY_BYTES,
  MAX_NAMESPACE_BYTES,
} from '../../src/core/names.ts';
import { fcOptions } from '../support/property.ts';

const anyName = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });

const refusal = (what: 'key' | 'namespace', name: unknown, maxBytes?: number): unknown => {
  try {
    checkName(what, name, maxBytes);
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('checkName', () => {
  it.each([
    '__proto__',
    'constructor',
    'a:b',
    ':',
    '%3A',
    '*',
    '>',
    'a..b',
    '.',
    ' ',
    '\0',
    '\n',
    '\uFEFF',
    '👩‍👩‍👧',
    '\u{10FFFF}',
    'x'.repeat(MAX_NAMESPACE_BYTES),
    '€'.repeat(341),
    '\u{1F98A}'.repeat(256),
  ])('accepts %j', (name) => {
    expect(refusal('key', name)).toBeUndefined();
    expect(refusal('namespace', name)).toBeUndefined();
  });

  it.each([
    ['a lone high surrogate', 'a\uD800'],
    ['a lone low surrogate', '\uDC00'],
    ['surrogates in the wrong order', '\uDC00\uD800'],
    ['null', null],
    ['undefined', undefined],
    ['a number', 7],
    ['an object', {}],
    ['a String object', new String('a')],
    ['a symbol', Symbol('a')],
  ])('refuses %s', (_what, name) => {
    for (const what of ['key', 'namespace'] as const) {
      const error = refusal(what, name);
      expect(error).toBeInstanceOf(ContextCacheError);
      expect(error).toMatchObject({ code: 'INVALID_NAME' });
    }
  });

  it.each([
    ['one byte', 'x'.repeat(MAX_NAMESPACE_BYTES + 1)],
    ['two-byte characters', 'ä'.repeat(513)],
    ['three-byte characters', '€'.repeat(342)],
    ['four-byte characters', '\u{1F98A}'.repeat(257)],
  ])('refuses a name past its bound by %s', (_what, name) => {
    expect(refusal('namespace', name)).toMatchObject({ code: 'INVALID_NAME' });
    expect(refusal('key', name)).toBeUndefined();
    expect(refusal('key', name, MAX_NAMESPACE_BYTES)).toMatchObject({
      message: expect.stringContaining('raise limits.maxKeyBytes'),
    });
    expect(refusal('key', name.repeat(64))).toMatchObject({ code: 'INVALID_NAME' });
  });

  it('accepts an empty key and no empty namespace', () => {
    expect(refusal('key', '')).toBeUndefined();
    expect(refusal('namespace', '')).toMatchObject({ message: 'A namespace must not be empty.' });
  });

  it('accepts exactly the well-formed strings up to the bound in UTF-8', () => {
    const long = fc
      .tuple(fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }), fc.integer({ min: 1, max: 1100 }))
      .map(([unit, count]) => unit.repeat(count));
    const bound = fc.option(fc.integer({ min: 1, max: 2_000 }), { nil: undefined });
    fc.assert(
      fc.property(fc.oneof(anyName, long, fc.constant('')), bound, (name, most) => {
        const fits = (bytes: number) => name.isWellFormed() && Buffer.byteLength(name) <= bytes;
        expect(refusal('key', name, most) === undefined).toBe(fits(most ?? MAX_KEY_BYTES));
        expect(refusal('namespace', name) === undefined).toBe(name !== '' && fits(MAX_NAMESPACE_BYTES));
      }),
      fcOptions(300),
    );
  });
});

describe('compareNames', () => {
  it('orders as the bytes of UTF-8 do', () => {
    // Few letters, from each range that matters, so that common prefixes are frequent.
    const letters = fc.constantFrom(
      'a',
      'b',
      '\0',
      '\u007F',
      'ä',
      '\uD7FF',
      '\uE000',
      '\uFFFF',
      '\u{10000}',
      '\u{10FFFF}',
    );
    const name = fc.oneof(
      anyName,
      fc.array(letters, { maxLength: 5 }).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(Math.sign(compareNames(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
      fcOptions(1000),
    );
  });
});

describe('encodeNamespace', () => {
  it('round-trips and contains no colon', () => {
    const name = fc.oneof(
      anyName,
      fc
        .array(fc.constantFrom('%', ':', '2', '5', '3', 'A', 'a', '%25', '%3A'), { minLength: 1 })
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(name, (namespace) => {
        const encoded = encodeNamespace(namespace);
        expect(encoded).not.toContain(':');
        expect(decodeNamespace(encoded)).toBe(namespace);
      }),
      fcOptions(500),
    );
  });

  it('makes namespace:key injective', () => {
    const name = fc
      .array(fc.constantFrom('%', ':', '3A', '25', 'a'), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join(''));
    const pair = fc.tuple(name, name);
    fc.assert(
      fc.property(pair, pair, ([n1, k1], [n2, k2]) => {
        const same = `${encodeNamespace(n1)}:${k1}` === `${encodeNamespace(n2)}:${k2}`;
        expect(same).toBe(n1 === n2 && k1 === k2);
      }),
      fcOptions(1000),
    );
    expect(encodeNamespace('a:b')).toBe('a%3Ab');
    expect(encodeNamespace('100%')).toBe('100%25');
    expect(encodeNamespace('* >.日本 🦊')).toBe('* >.日本 🦊');
  });
});
