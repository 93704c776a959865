import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eventually } from '../../support/waiting.ts';
import type { Direction } from '../proxy.ts';
import { faultSeed, Random, times } from '../support.ts';
import { NatsRig } from './nats-rig.ts';
import { STOP_MS } from './side.ts';

/**
 * The byte at which a connection is cut: mostly early, so also during its greeting, and sometimes within a long value.
 */
function somewhere(random: Random, direction: Direction): number {
  if (direction === 'toClient') return random.below(800);
  return random.below(random.below(4) === 0 ? 60_000 : 3_000);
}

describe.concurrent.each(['core', 'stream'] as const)('%s NATS', (kind) => {
  it('delivers everything though connections are cut within frames, in both directions', async () => {
    await using rig = await NatsRig.start(kind);
    const random = new Random(faultSeed());
    for (let round = 0; round < times(40, 3_000); round += 1) {
      const direction = random.below(2) === 0 ? 'toServer' : 'toClient';
      await rig.proxy.cutAfter(direction, somewhere(random, direction));
    }
    await rig.nobodyWaits();
    expect(rig.proxy.accepted).toBeGreaterThanOrEqual(times(40, 3_000));
    await rig.settled('after its connections were cut');
  });

  it('holds no call up if a NATS accepts connections and is silent, and late deliveries do no harm', async () => {
    await using rig = await NatsRig.start(kind);
    await sleep(200);
    rig.proxy.stall();
    await rig.nobodyWaits();
    await rig.noticed(/did not/);
    await sleep(STOP_MS);
    await rig.nobodyWaits();
    rig.proxy.heal();
    await rig.settled('after it was silent');
  });

  it('treats late messages of an abandoned connection as repeats', async () => {
    await using rig = await NatsRig.start(kind);
    for (let round = 0; round < times(2, 100); round += 1) {
      rig.resumeWriters();
      await sleep(100);
      await rig.holdMessages();
      rig.resumeWriters();
      await sleep(100);
      await rig.quiet();
      rig.resumeWriters();
      rig.proxy.heal();
      await rig.settled('after the old connection was heard of again');
    }
    // A stream has left them out.
    for (const topic of kind === 'core' ? rig.topics : []) {
      await eventually(async () => {
        await topic.collect();
        expect(topic.reader.repeated).toBeGreaterThan(0);
      });
    }
  });

  it('keeps up with a NATS that is far away', async () => {
    await using rig = await NatsRig.start(kind, 1);
    rig.proxy.delay(20);
    await rig.nobodyWaits();
    await sleep(times(500, 30_000));
    await rig.settled('while it is far away');
    expect(rig.sides.map((side) => side.health.attempts)).toEqual([0, 0]);
  });
});
