import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { decode, encode } from '../../../src/core/encoding/codec.ts';
import { MessageWriter } from '../../../src/core/encoding/message-writer.ts';
import type { JsonValue } from '../../../src/core/value.ts';
import { fcOptions } from '../../support/property.ts';

/** The encoder that wrote the records of earlier versions. */
const packr = new Packr({ useRecords: false, variableMapToObject: true, useToJSON: false } as object);

const numbers = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc
    .tuple(fc.constantFrom(5, 7, 8, 15, 16, 31, 32, 53), fc.integer({ min: -2, max: 2 }), fc.constantFrom(1, -1))
    .map(([bits, beside, sign]) => sign * (2 ** bits + beside)),
);
/** Lengths around those at which headers grow or another encoder is used. */
const texts = fc.oneof(
  fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
  fc
    .tuple(
      fc.constantFrom('a', 'é', '語', '😀', 'a😀'),
      fc.constantFrom(10, 16, 31, 32, 63, 64, 85, 86, 255, 256, 22_000),
    )
    .map(([unit, times]) => unit.repeat(times)),
);
const values = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    numbers,
    texts,
    fc.constantFrom(null, true, false),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 20, noNullPrototype: true }),
  ),
})).value;

describe('MessageWriter', () => {
  it('writes the same bytes as msgpackr', () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(encode(value).equals(packr.pack(value))).toBe(true);
      }),
      fcOptions(500),
    );
  });

  it('writes the same bytes piece by piece as at once', () => {
    const bytes = fc.uint8Array({ maxLength: 400 });
    fc.assert(
      fc.property(fc.array(fc.tuple(values, numbers, texts, bytes), { maxLength: 20 }), (rows) => {
        const writer = new MessageWriter();
        writer.begin(3);
        writer.array(5 * rows.length + 1);
        for (const [value, number, text, binary] of rows) {
          writer.value(value);
          writer.number(number);
          writer.text(text);
          writer.binary(binary);
          writer.raw(encode(value));
        }
        writer.nil();
        const all = [...rows.flatMap(([value, number, text, binary]) => [value, number, text, binary, value]), null];
        expect(writer.end().subarray(3).equals(packr.pack(all))).toBe(true);
      }),
      fcOptions(200),
    );
  });

  it.each([0xff, 0x100, 0xffff, 0x10000, 200_000])(
    'writes %i bytes and items behind the header that they need',
    (count) => {
      const binary = Buffer.alloc(count, 7);
      const writer = new MessageWriter();
      writer.begin();
      writer.binary(binary);
      expect(writer.end().equals(packr.pack(binary))).toBe(true);
      const items = Array.from({ length: count }, (_, i) => i % 100);
      expect(encode(items).equals(packr.pack(items))).toBe(true);
    },
  );

  it('writes plain text, and replaces what it has written by a text of another length', () => {
    fc.assert(
      fc.property(texts, fc.stringMatching(/^[ -~]{0,40}$/), fc.nat(200), texts, (before, header, count, after) => {
        const writer = new MessageWriter();
        writer.begin();
        writer.plain(before);
        const start = writer.length;
        writer.plain('x'.repeat(count));
        writer.plain(after);
        writer.replace(start, count, header);
        expect(writer.length).toBe(Buffer.byteLength(before + header + after));
        expect(writer.end().toString()).toBe(before + header + after);
      }),
      fcOptions(200),
    );
  });

  it('writes an object with more properties than a 16-bit count can hold', () => {
    const object = Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i]));
    expect(decode(encode([object, 'behind']))).toEqual([object, 'behind']);
  });

  it('returns a message that the next one does not change, and skips undefined properties', () => {
    const writer = new MessageWriter();
    writer.begin();
    writer.value({ a: 1, b: undefined });
    const first = writer.end();
    writer.begin();
    writer.text('another one');
    expect(writer.peek().equals(packr.pack('another one'))).toBe(true);
    expect(decode(first)).toEqual({ a: 1 });
  });

  it('returns to a small buffer after a large message', () => {
    const writer = new MessageWriter();
    writer.begin();
    writer.text('x'.repeat(6_000_000));
    expect(writer.end()).toHaveLength(6_000_005);
    writer.begin();
    writer.value([1, 'y']);
    expect(writer.peek().buffer.byteLength).toBeLessThan(100_000);
    expect(decode(writer.peek())).toEqual([1, 'y']);
  });
});
