import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { command, compareAll, run } from './model-commands.ts';
import { Driver, type Planted } from './model-driver.ts';
import { fcFaults } from './support.ts';

/** Runs commands on a cache and its model: half of the runs in memory, half on a directory with a simulated disk. */
function difference(planted: Planted = {}, seen?: Map<string, number>) {
  const commands = fc.array(command, { maxLength: 40, size: 'max' });
  return fc.asyncProperty(fc.boolean(), commands, async (durable, all) => {
    const driver = new Driver(durable, planted, seen);
    await driver.open();
    try {
      for (const each of all) await run(driver, each);
      await compareAll(driver);
      await driver.reopen('kill');
      await compareAll(driver);
    } finally {
      await driver.end();
    }
  });
}

it('makes a cache do what its model does, whatever the commands', async () => {
  const seen = new Map<string, number>();
  await fc.assert(difference({}, seen), fcFaults(1_000, 20_000));
  for (const what of [
    'conflict',
    'crash',
    'expired',
    'passivated',
    'restored',
    'merged',
    'compacted',
    'shutdown',
    'kill',
    'power cut',
  ]) {
    expect(seen.get(what), what).toBeGreaterThan(100);
  }
});

describe('the comparison finds', () => {
  it.each<[string, Planted]>([
    [
      'a model with another rule',
      { rule: (update) => (update.operation === 'touch' ? { ...update, agent: null } : update) },
    ],
    ['the cache drops an update', { skips: ({ operation, version }) => operation === 'set' && version === 5 }],
    ['the cache does not delete', { skips: ({ operation }) => operation === 'delete' }],
  ])('where %s', async (_name, planted) => {
    const { failed, counterexample } = await fc.check(difference(planted), fcFaults(300, 300));
    expect(failed).toBe(true);
    // Shrunk to the commands that show it.
    expect(counterexample?.[1].length).toBeLessThan(10);
  });
});
