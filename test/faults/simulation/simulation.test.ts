import { expect, it } from 'vitest';
import { faultSeed, times } from '../support.ts';
import { simulate } from './simulate.ts';

it('comes through everything that a disk, a network and a machine may do', async () => {
  const runs = times(500, 20_000);
  const started = performance.now();
  let [events, updates, deaths] = [0, 0, 0];
  for (let i = 0; i < runs; i += 1) {
    const run = await simulate(faultSeed() + i);
    events += run.events;
    updates += run.updates;
    deaths += run.deaths;
  }
  console.info(JSON.stringify({ runs, events, updates, deaths, ms: Math.round(performance.now() - started) }));
  expect(deaths).toBeGreaterThan(runs / 10);
});
