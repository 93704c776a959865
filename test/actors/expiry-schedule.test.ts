import { expect, it } from 'vitest';
import { ExpirySchedule } from '../../src/actors/expiry-schedule.ts';
import { NamespaceState } from '../../src/core/namespace-state.ts';
import { NamespaceRegistry } from '../../src/storage/namespace-registry.ts';
import { START, simulatedClock } from '../support/cache.ts';

function makeSchedule() {
  const clock = simulatedClock();
  const registry = new NamespaceRegistry();
  const woken: string[] = [];
  const schedule = new ExpirySchedule(clock, (name, at) => void woken.push(`${name} ${at - START}`), registry);
  /** Schedules a wake as the supervisor does. `remembers`: the record notes the wake. */
  const add = (name: string, at: number, remembers = true) => {
    const record = registry.inMemory(name) ?? registry.put(name, new NamespaceState(name));
    if (remembers) record.wakeAt = START + at;
    schedule.add(name, START + at);
    return record;
  };
  return { clock, registry, schedule, woken, add };
}

it('discards the wakes of dropped namespaces', () => {
  const { clock, registry, schedule, woken, add } = makeSchedule();
  add('stays', 500);
  for (let i = 0; i < 10_000; i += 1) registry.release(add(`run-${i}`, 1_000 + i));
  expect(schedule.size).toBeLessThan(100);
  clock.increment(500);
  expect(woken).toEqual(['stays 500']);
});

it('discards the wakes from earlier lives of an existing namespace', () => {
  const { clock, registry, schedule, woken, add } = makeSchedule();
  for (let i = 0; i < 10_000; i += 1) registry.release(add('n', 20_000 - i));
  add('n', 700);
  for (let i = 0; i < 100; i += 1) registry.release(add('other', 15_000));
  expect(schedule.size).toBeLessThan(100);
  clock.increment(700);
  expect(woken).toEqual(['n 700']);
});

it('keeps one wake of a namespace whose record has noted none', () => {
  const { clock, registry, woken, add } = makeSchedule();
  add('n', 600, false);
  for (let i = 0; i < 200; i += 1) registry.release(add('other', 15_000));
  add('n', 900, false);
  clock.increment(600);
  expect(woken).toEqual(['n 600']);
});
