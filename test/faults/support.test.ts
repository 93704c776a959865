import { expect, it } from 'vitest';
import { Random } from './support.ts';

it('gives the same numbers for the same seed, and others for another seed', () => {
  const numbers = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 100 }, () => random.below(1000));
  };
  expect(numbers(1)).toEqual(numbers(1));
  expect(numbers(1)).not.toEqual(numbers(2));
  expect(new Set(numbers(1)).size).toBeGreaterThan(80);
});
