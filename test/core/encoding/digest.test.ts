import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOfAll, digestOfEntries, NamespaceDigest } from '../../../src/core/encoding/digest.ts';
import { decodeEntry, encodeEntry } from '../../../src/core/encoding/entry-codec.ts';
import type { Meta } from '../../../src/core/meta.ts';
import type { EntryRecord } from '../../../src/core/namespace-state.ts';
import type { JsonValue } from '../../../src/core/value.ts';
import { fcOptions } from '../../support/property.ts';

const text = fc.oneof(
  fc.string({ unit: 'binary' }).filter((each) => each.isWellFormed()),
  fc.constantFrom('é'.repeat(11), 'x'.repeat(31), 'x'.repeat(32), 'ü'.repeat(200), 'x'.repeat(70_000), '__proto__'),
);
const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((each) => (each === 0 ? 0 : each)),
  fc.integer(),
  fc.constantFrom(
    0,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2 ** 32 - 1,
    2 ** 32,
    -1,
    -32,
    -33,
    -128,
    -129,
    -(2 ** 31),
    1e300,
  ),
);
const { value } = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(null, true, false),
    number,
    text,
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(text, tie('value'), { maxKeys: 5 }),
  ) as fc.Arbitrary<JsonValue>,
}));
const instant = fc.integer({ min: 0, max: 4_000_000_000_000 });
const entry: fc.Arbitrary<EntryRecord> = fc.record({
  value: fc.oneof({ weight: 9, arbitrary: value }, { weight: 1, arbitrary: fc.constant(undefined) }),
  version: fc.integer({ min: 1, max: 1e12 }),
  createdAt: instant,
  updatedAt: instant,
  expiresAt: fc.option(instant),
  agent: fc.option(text),
  bytes: fc.nat(),
  meta: fc.option(fc.dictionary(text, value, { maxKeys: 3 }), { nil: undefined }) as fc.Arbitrary<Meta | undefined>,
});
const entries = fc.uniqueArray(fc.tuple(text, entry), { selector: ([key]) => key, maxLength: 8 });
const version = fc.integer({ min: 0, max: 1e12 });

/** The digest of `docs/formats.md`, computed without the package. */
const foreign = {
  pack(content: unknown): Buffer {
    if (content === null) return Buffer.from([0xc0]);
    if (typeof content === 'boolean') return Buffer.from([content ? 0xc3 : 0xc2]);
    if (typeof content === 'number') return packNumber(content);
    if (typeof content === 'string') {
      const utf8 = Buffer.from(content);
      const head =
        utf8.length < 32
          ? Buffer.from([0xa0 | utf8.length])
          : counted(
              [
                [0xff, 0xd9],
                [0xffff, 0xda],
                [0xffffffff, 0xdb],
              ],
              utf8.length,
            );
      return Buffer.concat([head, utf8]);
    }
    if (Array.isArray(content)) {
      const { length } = content;
      const head =
        length < 16
          ? Buffer.from([0x90 | length])
          : counted(
              [
                [0xffff, 0xdc],
                [0xffffffff, 0xdd],
              ],
              length,
            );
      return Buffer.concat([head, ...content.map((each) => foreign.pack(each))]);
    }
    const fields = Object.entries(content as object);
    return Buffer.concat([
      counted([[0xffff, 0xde]], fields.length),
      ...fields.flat().map((each) => foreign.pack(each)),
    ]);
  },
  digest(all: readonly (readonly [string, EntryRecord])[], at: number): string {
    const preimages = all.map(([key, { value: content, ...fields }]) => {
      const { createdAt, updatedAt, agent, bytes, meta } = fields;
      const rest = [
        fields.version,
        createdAt,
        updatedAt - createdAt,
        meta === undefined ? agent : [agent, meta],
        bytes,
        ...(content === undefined ? [] : [content]),
      ];
      return Buffer.concat([foreign.pack([key, fields.expiresAt]), foreign.pack(rest)]);
    });
    const hashes = [...preimages, foreign.pack(at)].map((bytes) => createHash('sha256').update(bytes).digest());
    const lanes = [0, 1, 2, 3, 4, 5, 6, 7].map((lane) => {
      const sum = hashes.reduce((total, words) => total + BigInt(words.readUInt32BE(4 * lane)), 0n);
      return (sum % 2n ** 32n).toString(16).padStart(8, '0');
    });
    return lanes.join('');
  },
};

function counted(tags: readonly (readonly [number, number])[], count: number): Buffer {
  const [most, tag] = tags.find(([limit]) => count <= limit) ?? [0, 0];
  const width = most === 0xff ? 1 : most === 0xffff ? 2 : 4;
  const head = Buffer.alloc(1 + width);
  head[0] = tag;
  head.writeUIntBE(count, 1, width);
  return head;
}

function packNumber(number: number): Buffer {
  const fits = (low: number, high: number) => Number.isInteger(number) && number >= low && number <= high;
  if (fits(0, 127) || fits(-32, -1)) return Buffer.from([number & 0xff]);
  const widths = [
    [1, 0xcc, 0xd0],
    [2, 0xcd, 0xd1],
    [4, 0xce, 0xd2],
  ] as const;
  for (const [width, unsigned, signed] of widths) {
    const bytes = Buffer.alloc(1 + width);
    if (fits(0, 2 ** (8 * width) - 1)) {
      bytes[0] = unsigned;
      bytes.writeUIntBE(number, 1, width);
      return bytes;
    }
    if (!fits(-(2 ** (8 * width - 1)), -1)) continue;
    bytes[0] = signed;
    bytes.writeIntBE(number, 1, width);
    return bytes;
  }
  const double = Buffer.alloc(9);
  double[0] = 0xcb;
  double.writeDoubleBE(number, 1);
  return double;
}

describe('the digest of a namespace', () => {
  it('equals the documented digest, computed by another program', () => {
    fc.assert(
      fc.property(entries, version, (all, at) => {
        expect(digestOfEntries(all, at)).toBe(foreign.digest(all, at));
      }),
      fcOptions(300),
    );
  });

  it('changes with any change of an entry', () => {
    const changes: ((entry: EntryRecord) => EntryRecord)[] = [
      (each) => ({ ...each, value: each.value === 1 ? 2 : 1 }),
      (each) => ({ ...each, value: each.value === undefined ? null : undefined }),
      (each) => ({ ...each, version: each.version + 1 }),
      (each) => ({ ...each, createdAt: each.createdAt + 1 }),
      (each) => ({ ...each, updatedAt: each.updatedAt + 1 }),
      (each) => ({ ...each, expiresAt: each.expiresAt === null ? 0 : each.expiresAt + 1 }),
      (each) => ({ ...each, expiresAt: each.expiresAt === null ? 1 : null }),
      (each) => ({ ...each, agent: `${each.agent}x` }),
      (each) => ({ ...each, bytes: each.bytes + 1 }),
    ];
    fc.assert(
      fc.property(entries, version, fc.nat(), fc.constantFrom(...changes), (all, at, which, change) => {
        fc.pre(all.length > 0);
        const index = which % all.length;
        const digest = digestOfEntries(all, at);
        const [key, before] = all[index] as [string, EntryRecord];
        expect(digestOfEntries(all.with(index, [key, change(before)]), at)).not.toBe(digest);
        expect(digestOfEntries(all.with(index, [`${key}x`, before]), at)).not.toBe(digest);
        expect(digestOfEntries(all.toSpliced(index, 1), at)).not.toBe(digest);
        expect(digestOfEntries([...all, [key, before]], at)).not.toBe(digest);
        expect(digestOfEntries(all, at + 1)).not.toBe(digest);
      }),
      fcOptions(200),
    );
  });

  it('follows the state when entries are subtracted and added, in any order', () => {
    fc.assert(
      fc.property(entries, entries, version, version, (before, after, from, to) => {
        const digest = new NamespaceDigest(digestOfEntries(before, from), from);
        for (const [key, each] of after) digest.add(key, encodeEntry(each));
        for (const [key, each] of before.toReversed()) digest.remove(key, encodeEntry(each));
        expect(digest.at(to)).toBe(digestOfEntries(after.toReversed(), to));
      }),
      fcOptions(100),
    );
  });

  it('is the same for an entry that was stored and read back', () => {
    fc.assert(
      fc.property(entry, (each) => {
        const stored = encodeEntry(each);
        const again = encodeEntry(decodeEntry(stored));
        expect(Buffer.compare(again.bytes, stored.bytes)).toBe(0);
        expect(again.expiresAt).toBe(stored.expiresAt);
      }),
      fcOptions(300),
    );
  });
});

describe('the digest of all namespaces', () => {
  it('depends on names and digests, not on their order', () => {
    const [a, b] = [digestOfEntries([], 1), digestOfEntries([], 2)];
    const digest = digestOfAll([
      ['a', a],
      ['\u{10000}', b],
      ['\uffff', a],
    ]);
    const expected = createHash('sha256');
    // By code point.
    for (const pair of [
      ['a', a],
      ['\uffff', a],
      ['\u{10000}', b],
    ])
      expected.update(foreign.pack(pair));
    expect(digest).toBe(expected.digest('hex'));
    expect(
      digestOfAll([
        ['\uffff', a],
        ['\u{10000}', b],
        ['a', a],
      ]),
    ).toBe(digest);
    expect(
      digestOfAll([
        ['a', b],
        ['\u{10000}', a],
        ['\uffff', a],
      ]),
    ).not.toBe(digest);
    expect(digestOfAll([])).toBe(createHash('sha256').digest('hex'));
  });
});
