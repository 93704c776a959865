import { fcOptions } from '../support/property.ts';

/**
 * Set by `FAULTS=long`, which repeats everything as often as the suite promises. The short form is for every commit.
 */
export const long: boolean = process.env.FAULTS === 'long';

/** Number of repetitions in the short form and in the long one. */
export function times(short: number, longForm: number): number {
  return long ? longForm : short;
}

/**
 * Returns how many seeds a simulation runs. `FAULT_RUNS` gives another number: together with `FAULT_SEED`, the first seed,
 * it runs a slice of the long form.
 */
export function seeds(short: number, longForm: number): number {
  return numberFrom('FAULT_RUNS') ?? times(short, longForm);
}

/**
 * Returns the seed of a test: `FAULT_SEED`, or a fixed one, so that every run of the suite does the same. Name it in
 * failures.
 */
export function faultSeed(): number {
  return numberFrom('FAULT_SEED') ?? 20_261_123;
}

function numberFrom(variable: 'FAULT_RUNS' | 'FAULT_SEED'): number | undefined {
  const text = process.env[variable];
  if (text === undefined || text === '') return undefined;
  const number = Number(text);
  if (Number.isInteger(number)) return number;
  throw new Error(`${variable} must be an integer, not ${JSON.stringify(text)}.`);
}

/** Options for `fc.assert` with the seed of the suite. */
export function fcFaults(short: number, longForm: number): { numRuns: number; seed?: number } {
  return { seed: faultSeed(), ...fcOptions(times(short, longForm)) };
}

/** A small generator of pseudo-random numbers (mulberry32). The same seed gives the same numbers. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** An integer from 0 to below `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}
