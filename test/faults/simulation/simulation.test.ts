import { afterEach, expect, it, vi } from 'vitest';
import { faultSeed, seeds, times } from '../support.ts';
import { simulate } from './simulate.ts';

it('stays right through all faults of disk, network and machine', async () => {
  const runs = seeds(120, 20_000);
  const sum = { runs, events: 0, updates: 0, deaths: 0 };
  for (let i = 0; i < runs; i += 1) {
    const { events, updates, deaths } = await simulate(faultSeed() + i);
    sum.events += events;
    sum.updates += updates;
    sum.deaths += deaths;
  }
  // Much has happened: a scenario without events would find nothing.
  expect(sum.deaths).toBeGreaterThan(runs);
  expect(sum.updates).toBeGreaterThan(30 * runs);
});

afterEach(() => {
  vi.restoreAllMocks();
});

it('repeats a run for the same seed, and makes another one for another seed', async () => {
  // The lengths of compressed files depend on the ids of logs.
  let ids = 0;
  vi.spyOn(crypto, 'randomUUID').mockImplementation(() => `01234567-89ab-4cde-8f01-${String(++ids).padStart(12, '0')}`);
  const run = (seed: number) => {
    ids = 0;
    return simulate(seed);
  };
  const traces = new Set<string>();
  const runs = times(8, 500);
  for (let i = 0; i < runs; i += 1) {
    const seed = faultSeed() + i;
    const { trace } = await run(seed);
    expect((await run(seed)).trace, `seed ${seed}`).toBe(trace);
    traces.add(trace);
  }
  expect(traces.size).toBe(runs);
});
