import { expect, test } from 'vitest';
import { backOffMs } from '../../src/core/back-off.ts';

test('doubles the wait with each retry, up to the longest', () => {
  expect([1, 2, 3, 4, 5].map((retry) => backOffMs(retry, 100, 1_000))).toEqual([100, 200, 400, 800, 1_000]);
});

test('stays a finite number after any number of retries', () => {
  expect(backOffMs(1_000_000, 100, 5_000)).toBe(5_000);
  expect(backOffMs(1_000_000, 1, Number.POSITIVE_INFINITY)).toBe(2 ** 30);
});
