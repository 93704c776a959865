import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromJsonValue, toJsonValue } from '../../src/core/envelope.ts';
import { InvalidValueError } from '../../src/core/errors.ts';
import { admit, type JsonValue } from '../../src/core/value.ts';

/** Half of an emoji: a string that UTF-8 cannot hold. */
const HALF = '😀'.slice(0, 1);

/** Stores a value and reads it as a cache and its readers in JSON do. */
const stored = (value: unknown): JsonValue => JSON.parse(JSON.stringify(admit(toJsonValue(value)).value));

/** Names and strings with halves of surrogate pairs, and names of envelopes. */
const text = () =>
  fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('$bytes', '$text', '$entries', HALF, '__proto__'));

const { value: anything } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    text(),
    fc.uint8Array(),
    fc.array(tie('value')),
    fc.dictionary(text(), tie('value'), { noNullPrototype: true }),
  ),
}));

describe('toJsonValue', () => {
  test('fromJsonValue returns what it was given, for every value', () => {
    fc.assert(
      fc.property(anything, (value) => {
        expect(fromJsonValue(stored(value))).toEqual(value);
      }),
      { numRuns: 1_000 },
    );
  });

  test('returns a value that needs no envelope itself', () => {
    const value = { a: [1, { b: 'text' }], $bytes: 'x', $other: 1, ['__proto__']: 2 };
    expect(toJsonValue(value)).toBe(value);
  });

  test('puts only what needs it in an envelope', () => {
    const value = { name: 'Ada', photo: Buffer.from([0, 1, 2]), note: `a${HALF}`, [HALF]: 1 };
    expect(toJsonValue({ list: [value] })).toEqual({
      list: [
        {
          $entries: [
            ['name', 'Ada'],
            ['photo', { $bytes: 'AAEC' }],
            ['note', { $text: '"a\\ud83d"' }],
            [{ $text: '"\\ud83d"' }, 1],
          ],
        },
      ],
    });
  });

  test('does not take an object for an envelope, also if the write leaves out its other properties', () => {
    const value = { $bytes: 'AAEC', other: undefined };
    expect(fromJsonValue(stored(value))).toEqual({ $bytes: 'AAEC' });
  });

  test('leaves the bytes around a view out', () => {
    const bytes = new Uint8Array([9, 1, 2, 9]).subarray(1, 3);
    expect(fromJsonValue(stored(bytes))).toEqual(new Uint8Array([1, 2]));
  });

  test('leaves what is nested too deep to the write, which refuses it', () => {
    let value: unknown = 'text';
    for (let depth = 0; depth < 100_000; depth += 1) value = [value];
    expect(() => admit(toJsonValue(value))).toThrow('nested deeper than 256 levels');
  });

  test.each([
    ['a Date', { at: [new Date(0)] }, '$.at[0]'],
    ['NaN beside a name with half a surrogate pair', { [HALF]: Number.NaN }, '$.$entries[0][1]'],
    ['a class instance', new (class Plan {})(), '$'],
  ])('leaves %s to the write, which refuses it with its path', (_, value, path) => {
    expect(() => admit(toJsonValue(value))).toThrow(`The value at ${path} `);
  });

  test('leaves a cycle to the write, which refuses it', () => {
    const value: Record<string, unknown> = { photo: new Uint8Array(1) };
    value.self = { deeper: value };
    expect(() => admit(toJsonValue(value))).toThrow(InvalidValueError);
  });
});

describe('fromJsonValue', () => {
  test('returns a value that may be changed, also from a frozen one', () => {
    const value = fromJsonValue(admit({ list: [{ count: 1 }], ['__proto__']: 2 }).value) as {
      list: { count: number }[];
    };
    value.list.push({ count: 2 });
    (value.list[0] as { count: number }).count = 5;
    expect(JSON.stringify(value)).toBe('{"list":[{"count":5},{"count":2}],"__proto__":2}');
  });

  test.each([
    { $bytes: 'not base64' },
    { $bytes: 1 },
    { $text: 'no JSON text' },
    { $text: '5' },
    { $entries: [['name']] },
    { $entries: [[1, 2]] },
    { $entries: {} },
  ])('leaves %j as it is, because toJsonValue never writes it', (value) => {
    expect(fromJsonValue(value)).toEqual(value);
  });
});
