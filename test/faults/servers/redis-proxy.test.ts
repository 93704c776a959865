import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Direction } from '../proxy.ts';
import { faultSeed, Random, times } from '../support.ts';
import { RedisRig } from './redis-rig.ts';
import { STOP_MS } from './side.ts';

/**
 * The byte at which a connection is cut: mostly early, so also during its greeting, and sometimes within a long value.
 */
function somewhere(random: Random, direction: Direction): number {
  if (direction === 'toClient') return random.below(200);
  return random.below(random.below(4) === 0 ? 30_000 : 3_000);
}

it.concurrent('keeps the mirror whole though connections are cut within frames, in both directions', async () => {
  await using rig = await RedisRig.start();
  const random = new Random(faultSeed());
  for (let round = 0; round < times(40, 3_000); round += 1) {
    const direction = random.below(2) === 0 ? 'toServer' : 'toClient';
    await rig.proxy.cutAfter(direction, somewhere(random, direction));
  }
  await rig.nobodyWaits();
  expect(rig.proxy.accepted).toBeGreaterThanOrEqual(times(40, 3_000));
  await rig.settled('after its connections were cut');
});

it.concurrent('holds no call up if a Redis accepts connections and is silent, and late deliveries change nothing', async () => {
  await using rig = await RedisRig.start();
  await sleep(200);
  rig.proxy.stall();
  await rig.nobodyWaits();
  await rig.noticed(/answer/);
  await sleep(STOP_MS);
  await rig.nobodyWaits();
  rig.proxy.heal();
  await rig.settled('after it was silent');
});

it.concurrent('does not overwrite newer values with late ones of an abandoned connection', async () => {
  await using rig = await RedisRig.start();
  for (let round = 0; round < times(3, 100); round += 1) {
    rig.resumeWriters();
    await sleep(100);
    await rig.holdConnections();
    await sleep(100);
    rig.proxy.heal();
    await rig.settled('after the old connection was heard of again');
  }
});

it.concurrent('keeps up with a Redis that is far away', async () => {
  await using rig = await RedisRig.start({ hurry: 1 });
  rig.proxy.delay(20);
  await rig.nobodyWaits();
  await sleep(times(1_000, 30_000));
  await rig.settled('while it is far away');
  expect(rig.sides.map((side) => side.health.attempts)).toEqual([0, 0]);
});

it.concurrent('gives a Redis that expires entries while it is unreachable the entries of the cache', async () => {
  // Time passes at the same speed in both.
  await using rig = await RedisRig.start({ hurry: 1 });
  for (let round = 0; round < times(2, 20); round += 1) {
    rig.resumeWriters();
    await sleep(300);
    rig.proxy.refuse();
    await rig.noticed(/cannot be reached/);
    // Longer than the shorter ones live.
    await sleep(1_000);
    rig.proxy.heal();
    await rig.settled('after entries have expired there');
  }
});
