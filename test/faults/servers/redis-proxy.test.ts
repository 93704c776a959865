import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Direction } from '../proxy.ts';
import { faultSeed, Random, times } from '../support.ts';
import { RedisRig } from './redis-rig.ts';
import { STOP_MS } from './side.ts';

/** Where a connection is cut: mostly early, so also while it is being greeted, and now and then in a long value. */
function somewhere(random: Random, direction: Direction): number {
  if (direction === 'toClient') return random.below(200);
  return random.below(random.below(4) === 0 ? 30_000 : 3_000);
}

it.concurrent('connections to Redis that are cut in the middle of a frame, in both directions, leave a mirror that is whole', async () => {
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

it.concurrent('a Redis that accepts connections and is silent holds nobody up; what was held back changes nothing when it comes late', async () => {
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

it.concurrent('what a connection that was given up brings late is not put over what is newer', async () => {
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

it.concurrent('a Redis that is far away is kept up with', async () => {
  await using rig = await RedisRig.start({ hurry: 1 });
  rig.proxy.delay(20);
  await rig.nobodyWaits();
  await sleep(times(1_000, 30_000));
  await rig.settled('while it is far away');
  expect(rig.sides.map((side) => side.health.attempts)).toEqual([0, 0]);
});

it.concurrent('a Redis that forgets entries by its own clock, while it cannot be reached, has them as the cache has', async () => {
  // Time passes alike here and there.
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
