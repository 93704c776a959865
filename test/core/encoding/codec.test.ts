import { decode as foreignDecode, encode as foreignEncode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, decodeValue, encode } from '../../../src/core/encoding/codec.ts';
import { decodeEntry, encodeEntry } from '../../../src/core/encoding/entry-codec.ts';
import { fcOptions } from '../../support/property.ts';

/** JSON text with names that break some codecs. */
function awkwardText(names: readonly string[]): fc.Arbitrary<string> {
  const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value));
  const integer = fc.maxSafeInteger().map(String);
  const text = fc
    .string({ unit: 'binary' })
    .filter((value) => value.isWellFormed())
    .map((value) => JSON.stringify(value));
  const edge = fc.constantFrom(
    'null',
    'true',
    '4294967296',
    '-2147483649',
    '9007199254740993',
    '18446744073709551615',
    '1e308',
    '5e-324',
    '-0.1',
    '"__proto__"',
  );
  // Random text can be `__proto__` as well, which some of the tests leave out on purpose.
  const otherName = fc.string().filter((name) => name !== '__proto__');
  return fc.letrec((tie) => ({
    node: fc.oneof({ maxDepth: 4 }, edge, number, integer, text, tie('object'), tie('array')),
    object: fc
      .array(fc.tuple(fc.oneof(fc.constantFrom(...names), otherName), tie('node')), { maxLength: 5 })
      .map((pairs) => `{${pairs.map(([name, value]) => `${JSON.stringify(name)}:${value}`)}}`),
    array: fc.array(tie('node'), { maxLength: 5 }).map((values) => `[${values}]`),
  })).node as fc.Arbitrary<string>;
}

const NAMES = ['constructor', 'toJSON', 'toString', 'valueOf', 'then', 'length', '', '0', 'a', '__proto_', 'size'];

describe('codec', () => {
  it('returns every JSON value unchanged, including __proto__', () => {
    fc.assert(
      fc.property(awkwardText([...NAMES, '__proto__']), (text) => {
        const value = JSON.parse(text);
        const back = decode(encode(value));
        expect(JSON.stringify(back)).toBe(JSON.stringify(value));
        expect(back).toEqual(value);
      }),
      fcOptions(500),
    );
  });

  it('can be read by another MessagePack reader', () => {
    fc.assert(
      fc.property(awkwardText(NAMES), (text) => {
        const value = JSON.parse(text);
        expect(foreignDecode(encode(value))).toEqual(value);
      }),
      fcOptions(300),
    );
  });

  it('reads what other encoders write', () => {
    fc.assert(
      fc.property(awkwardText(NAMES), fc.uint8Array({ maxLength: 300 }), (text, bytes) => {
        const value = { value: JSON.parse(text), bytes, count: Array.from(bytes) };
        expect(decode(foreignEncode(value))).toEqual({ ...value, bytes: Buffer.from(bytes) });
      }),
      fcOptions(300),
    );
    expect(decode(foreignEncode([0.5, -2], { forceFloat32: true }))).toEqual([0.5, -2]);
    const large = [2n ** 40n, -(2n ** 40n), 2n ** 64n - 1n];
    expect(decode(foreignEncode(large, { useBigInt64: true }))).toEqual(large.map(Number));
  });

  it('treats toJSON as a plain name', () => {
    const value = { constructor: 1, toJSON: 'x' };
    expect(decode(encode(value))).toEqual(value);
  });

  it('decodes bytes that are part of a larger buffer', () => {
    const bytes = encode({ a: [1, '__proto__'] });
    const larger = Buffer.concat([Buffer.from('xx'), bytes, Buffer.from('__proto__')]);
    expect(decode(larger.subarray(2, 2 + bytes.length))).toEqual({ a: [1, '__proto__'] });
  });

  it('leaves earlier results unchanged when it encodes again', () => {
    const encoded = Array.from({ length: 2_000 }, (_, index) => ({
      index,
      bytes: encode({ index, text: 'x'.repeat(index % 50) }),
    }));
    for (const { index, bytes } of encoded) expect(decode(bytes)).toMatchObject({ index });
  });

  it('freezes stored values', () => {
    const value = decodeValue(encode({ a: [{ b: 1 }] })) as { a: { b: number }[] };
    expect(Object.isFrozen(value) && Object.isFrozen(value.a) && Object.isFrozen(value.a[0])).toBe(true);
    expect(decodeValue(encode(null))).toBeNull();
    expect(Object.isFrozen(decode(encode({ a: 1 })))).toBe(false);
  });

  it('refuses bytes that are cut off anywhere, more than one value, and what is not JSON', () => {
    const bytes = encode([{ text: 'a long enough text' }, 70_000, -1.5, Buffer.from('x'), null]);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => decode(bytes.subarray(0, length))).toThrow(RangeError);
    }
    expect(() => decode(Buffer.concat([bytes, bytes]))).toThrow(RangeError);
    expect(() => decode(foreignEncode(new Date(0)))).toThrow(RangeError);
    expect(() => decodeValue(Buffer.concat([bytes, Buffer.from([0])]))).toThrow(RangeError);
    // Four thousand million items in five bytes.
    expect(() => decode(Buffer.from('ddffffffff', 'hex'))).toThrow(RangeError);
  });
});

describe('a stored entry', () => {
  const entry = { version: 3, createdAt: 5, updatedAt: 9, expiresAt: null, agent: 'a', meta: undefined, bytes: 7 };

  it.each([
    ['with its value', { ...entry, value: { text: 'x' } }],
    ['without its value', { ...entry, value: undefined }],
  ])('%s is refused if it is cut off or bytes follow it', (_name, record) => {
    const { bytes, expiresAt } = encodeEntry(record);
    expect(decodeEntry({ bytes, expiresAt })).toEqual(record);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => decodeEntry({ bytes: bytes.subarray(0, length), expiresAt })).toThrow(RangeError);
    }
    expect(() => decodeEntry({ bytes: Buffer.concat([bytes, Buffer.from([1])]), expiresAt })).toThrow(RangeError);
  });
});
