import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encode } from '../../../../src/core/encoding/codec.ts';
import { decodeAround, decodeEntry, encodeEntry } from '../../../../src/core/encoding/entry-codec.ts';
import { MessageReader } from '../../../../src/core/encoding/message-reader.ts';
import type { JsonValue } from '../../../../src/core/value.ts';
import { countOf, decodeChunk, encodeChunk } from '../../../../src/storage/disk/index/records/chunk-codec.ts';
import type { LocatedUpdate } from '../../../../src/storage/disk/log/logged-update.ts';
import { fcOptions } from '../../../support/property.ts';

// The writer writes -0 as 0, as JSON does.
const number = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double({ noNaN: true })).map((each) => each + 0);
const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'grapheme', maxLength: 90 }),
  fc.constantFrom('é', 'a'.repeat(70)),
);
const value = fc.jsonValue() as fc.Arbitrary<JsonValue>;

describe('the reader of messages', () => {
  it('reads what the writer writes, and skips it', () => {
    const reader = new MessageReader();
    fc.assert(
      fc.property(number, text, value, fc.option(text), fc.option(number), (a, b, skipped, c, d) => {
        const bytes = encode([a, b, skipped, c, d, b]);
        reader.begin(bytes);
        expect(reader.array()).toBe(6);
        expect(reader.number()).toBe(a);
        expect(reader.text()).toBe(b);
        const start = reader.at;
        reader.skip();
        expect(bytes.subarray(start, reader.at)).toEqual(encode(skipped));
        expect([reader.textOrNull(), reader.numberOrNull(), reader.text()]).toEqual([c, d, b]);
        expect(reader.at).toBe(bytes.length);
      }),
      fcOptions(300),
    );
  });

  it('refuses bytes that end too early or are something else', () => {
    const reader = new MessageReader();
    const bytes = encode(['a text', 70_000, [1, { a: 'b' }]]);
    for (let length = 0; length < bytes.length; length += 1) {
      reader.begin(bytes.subarray(0, length));
      expect(() => reader.skip()).toThrow(RangeError);
    }
    reader.begin(encode('a text'));
    expect(() => reader.number()).toThrow('unexpected byte');
    expect(() => reader.array()).toThrow(RangeError);
  });
});

it('an entry whose value stays encoded is encoded to the same bytes', () => {
  const entry = fc.record({
    value: fc.option(value, { nil: undefined }),
    version: fc.nat(),
    createdAt: fc.nat(),
    updatedAt: fc.maxSafeNat(),
    expiresAt: fc.option(fc.maxSafeNat()),
    agent: fc.option(text),
    bytes: fc.nat(),
    meta: fc.option(fc.dictionary(text, value, { maxKeys: 3 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(entry, (given) => {
      const stored = encodeEntry(given);
      const moved = encodeEntry(decodeAround(stored));
      expect([moved.expiresAt, Buffer.from(moved.bytes)]).toEqual([stored.expiresAt, Buffer.from(stored.bytes)]);
      expect(decodeEntry(moved)).toEqual(decodeEntry(stored));
    }),
    fcOptions(300),
  );
});

it('a chunk holds the locations that were added to it, in one go or in several', () => {
  const update = fc.record({
    distance: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2 ** 40 })),
    offset: fc.oneof(
      fc.nat(1000),
      fc.nat(),
      fc.maxSafeNat().map((each) => Math.floor(each / 8)),
    ),
    length: fc.integer({ min: 1, max: 2 ** 31 }),
    checksum: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    drop: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(update, { minLength: 1, maxLength: 128 }), fc.nat(128), (given, cut) => {
      let position = 0;
      const updates = given.map(({ distance, ...rest }) => {
        position += distance;
        return { position, ...rest } as LocatedUpdate;
      });
      const whole = encodeChunk(undefined, updates);
      const first = updates.slice(0, cut);
      const inTwo = encodeChunk(first.length === 0 ? undefined : encodeChunk(undefined, first), updates.slice(cut));
      expect(Buffer.from(inTwo)).toEqual(Buffer.from(whole));
      expect(countOf(whole)).toBe(updates.length);
      const { positions, locations, drops } = decodeChunk(whole);
      expect(positions).toEqual(updates.map((each) => each.position));
      expect(drops).toEqual(updates.map(({ drop }) => drop));
      expect(locations).toEqual(updates.map(({ offset, length, checksum }) => ({ offset, length, checksum })));
    }),
    fcOptions(300),
  );
});
