import { afterEach, expect, it, vi } from 'vitest';
import { faultSeed, Random, seeds } from './support.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

it('gives the same numbers for the same seed, and others for another seed', () => {
  const numbers = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 100 }, () => random.below(1000));
  };
  expect(numbers(1)).toEqual(numbers(1));
  expect(numbers(1)).not.toEqual(numbers(2));
  expect(new Set(numbers(1)).size).toBeGreaterThan(80);
});

it('takes a slice of seeds from the environment, and refuses one that is no number', () => {
  vi.stubEnv('FAULT_SEED', '7');
  vi.stubEnv('FAULT_RUNS', '500');
  expect([faultSeed(), seeds(1, 2)]).toEqual([7, 500]);
  vi.stubEnv('FAULT_RUNS', 'many');
  expect(() => seeds(1, 2)).toThrow('FAULT_RUNS must be an integer, not "many".');
});
