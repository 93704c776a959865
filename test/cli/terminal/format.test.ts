import fc from 'fast-check';
import { expect, it } from 'vitest';
import { shownCount } from '../../../src/cli/terminal/format.ts';
import { fcOptions } from '../../support/property.ts';

it('groups the digits of a count as the locale en-US does', () => {
  const counts = fc.oneof(fc.nat({ max: 2_000_000 }), fc.maxSafeInteger(), fc.double({ min: 0, max: 1e12 }));
  const property = fc.property(counts, (count) => {
    expect(shownCount(count)).toBe(count.toLocaleString('en-US'));
  });
  fc.assert(property, fcOptions(500));
  expect([0, 999, 1_000, 12_345, 1_234_567].map(shownCount)).toEqual(['0', '999', '1,000', '12,345', '1,234,567']);
});
