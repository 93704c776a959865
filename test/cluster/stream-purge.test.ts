import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { StreamPurge, type StreamPurgeDeps } from '../../src/cluster/open/stream-purge.ts';
import { simulatedClock } from '../support/cache.ts';

/** Returns a purge of two whole snapshots, and the sequences up to which it has purged. */
function purgeBy(isHolder: () => boolean, failure?: Error) {
  const purged: number[] = [];
  const reported: unknown[] = [];
  const snapshot = (id: string, sequence: number) => ({ id, sequence, whole: true, log: 'epoch' });
  const backup = {
    status: () => ({ lastSnapshot: snapshot('b', 20) }),
    list: async () => {
      if (failure !== undefined) throw failure;
      return [snapshot('a', 10), snapshot('b', 20)];
    },
  };
  const deps = {
    node: { info: { epoch: 'epoch' } },
    parts: { backup, report: (error: unknown) => void reported.push(error) },
    stream: { purge: async (sequence: number) => void purged.push(sequence) },
    clock: simulatedClock(),
    isHolder,
  };
  return { purge: new StreamPurge(deps as unknown as StreamPurgeDeps), purged, reported };
}

test('the holder of the lease purges up to the second newest whole snapshot, once', async () => {
  const { purge, purged } = purgeBy(() => true);
  for (let looks = 0; looks < 3; looks += 1) {
    purge.look();
    await nextTurn();
  }
  expect(purged).toEqual([10]);
});

test('a node that has lost the lease while it listed the snapshots purges nothing', async () => {
  let isHolder = true;
  const { purge, purged } = purgeBy(() => isHolder);
  purge.look();
  isHolder = false;
  await nextTurn();
  expect(purged).toEqual([]);
});

test.each([true, false])('a purge that fails is reported if this node still holds the lease: %s', async (isHeld) => {
  let isHolder = true;
  const failure = new Error('The store is closed.');
  const { purge, reported } = purgeBy(() => isHolder, failure);
  purge.look();
  isHolder = isHeld;
  await nextTurn();
  expect(reported).toEqual(isHeld ? [failure] : []);
});
