import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContextCacheError } from '../../src/core/errors.ts';
import { checkName, compareNames, decodeNamespace, encodeNamespace, MAX_NAME_BYTES } from '../../src/core/names.ts';
import { fcOptions } from '../support/property.ts';

const anyName = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });

const refusal = (what: 'key' | 'namespace', name: unknown): unknown => {
  try {
    checkName(what, name);
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
    'x'.repeat(MAX_NAME_BYTES),
    '€'.repeat(341),
    '\u{1F98A}'.repeat(256),
  ])('accepts %j', (name) => {
    expect(refusal('key', name)).toBeUndefined();
    expect(refusal('namespace', name)).toBeUndefined();
  });

  it.each([
    ['empty', ''],
    ['a lone high surrogate', 'a\uD800'],
    ['a lone low surrogate', '\uDC00'],
    ['surrogates in the wrong order', '\uDC00\uD800'],
    ['one byte too many', 'x'.repeat(MAX_NAME_BYTES + 1)],
    ['two-byte characters past the bound', 'ä'.repeat(513)],
    ['three-byte characters past the bound', '€'.repeat(342)],
    ['four-byte characters past the bound', '\u{1F98A}'.repeat(257)],
    ['null', null],
    ['undefined', undefined],
    ['a number', 7],
    ['an object', {}],
    ['a String object', new String('a')],
    ['a symbol', Symbol('a')],
  ])('refuses %s', (_what, name) => {
    const error = refusal('key', name);
    expect(error).toBeInstanceOf(ContextCacheError);
    expect(error).toMatchObject({ code: 'INVALID_NAME' });
  });

  it('accepts exactly the well-formed non-empty strings up to the bound in UTF-8', () => {
    const long = fc
      .tuple(fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }), fc.integer({ min: 1, max: 1100 }))
      .map(([unit, count]) => unit.repeat(count));
    fc.assert(
      fc.property(fc.oneof(anyName, long), (name) => {
        const good = name.isWellFormed() && Buffer.byteLength(name) <= MAX_NAME_BYTES;
        expect(refusal('key', name) === undefined).toBe(good);
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
