import fc from 'fast-check';
import { expect, it } from 'vitest';
import { appendedKey, LONGEST_SUFFIX } from '../../src/core/append-key.ts';
import { compareNames } from '../../src/core/names.ts';
import { fcOptions } from '../support/property.ts';

const version = fc.oneof(fc.integer({ min: 1, max: 2_000 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const free = () => false;

it('gives keys in the order of the versions, of at most the longest length', () => {
  fc.assert(
    fc.property(version, version, fc.string({ unit: 'binary' }), (a, b, prefix) => {
      const [one, other] = [appendedKey(prefix, a, free), appendedKey(prefix, b, free)];
      expect(Math.sign(compareNames(one, other))).toBe(Math.sign(a - b));
      expect(one.length - prefix.length).toBeLessThan(LONGEST_SUFFIX);
    }),
    fcOptions(500),
  );
});

it('is readable', () => {
  expect([1, 9, 10, 123, Number.MAX_SAFE_INTEGER].map((each) => appendedKey('m:', each, free))).toEqual([
    ...['m:a1', 'm:a9', 'm:b10', 'm:c123', 'm:p9007199254740991'],
  ]);
});

it('avoids a key that a caller has set, and stays between its neighbours', () => {
  const taken = new Set(['m:b10', 'm:b10~']);
  const key = appendedKey('m:', 10, (each) => taken.has(each));
  expect(key).toBe('m:b10~~');
  expect(compareNames(appendedKey('m:', 9, free), key)).toBeLessThan(0);
  expect(compareNames(key, appendedKey('m:', 11, free))).toBeLessThan(0);
});
