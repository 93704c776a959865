import assert from 'node:assert/strict';
import type { Update } from '../core/update.ts';
import { all, type Check, fill, positions, range, refuses } from './update-log-samples.ts';

/** Checks of trimming the oldest updates. */
export function trimming(check: Check): void {
  check('trim discards the oldest updates and nothing else', async (log, { reopen }) => {
    for (let i = 0; i < 10; i += 1) await fill(log, 2);
    await log.trim(0);
    assert.equal(log.first, 1);
    await log.trim(12);
    const { first } = log;
    assert.ok(first > 1 && first <= 13, `first is ${first}`);
    assert.deepEqual(positions(await all(log.read(first))), range(first, 20));
    await refuses('POSITION_UNAVAILABLE', () => all(log.read(first - 1)));
    await log.trim(5);
    assert.equal(log.first, first);
    await log.trim(1000);
    assert.deepEqual([log.first, log.head, log.committed], [21, 20, 20]);
    assert.deepEqual(await all(log.read(21)), []);
    await fill(log, 1);
    assert.deepEqual(positions(await all(log.read(21))), [21]);
    assert.deepEqual([log.follower('late').checkpoint, log.follower('late').tooLate], [20, true]);
    if (reopen === undefined) return;
    await log.close();
    const again = await reopen();
    try {
      assert.deepEqual([again.first, again.head], [21, 21]);
      assert.deepEqual(positions(await all(again.read(21))), [21]);
    } finally {
      await again.close();
    }
  });

  check('a trim takes nothing from a follower that is behind', async (log) => {
    const follower = log.follower('f');
    for (let i = 0; i < 10; i += 1) await fill(log, 3);
    await follower.save(4);
    await log.trim(30);
    assert.ok(!log.durable || log.first <= 5, `first is ${log.first}`);
    const given = new Map<string | null, Update>();
    for (let batch = await follower.read(4); batch !== undefined; batch = await follower.read(4)) {
      for (const update of batch.updates) given.set(update.key, update);
      await follower.save(batch.through);
    }
    assert.deepEqual([...given.values()].map(({ position }) => position).sort(ascending), range(24, 30));
    await log.trim(30);
    assert.equal(log.first, 31);
  });

  check('lists the checkpoints of followers, and does not forget a running one', async (log, { reopen }) => {
    await fill(log, 5);
    await log.follower('f').save(3);
    assert.deepEqual(log.checkpoints(), [{ name: 'f', checkpoint: 3, registered: true }]);
    await refuses('INVALID_OPTION', () => log.forget('f'));
    await refuses('NOT_FOUND', () => log.forget('g'));
    if (reopen === undefined) return;
    await log.close();
    const again = await reopen();
    try {
      assert.deepEqual(again.checkpoints(), [{ name: 'f', checkpoint: 3, registered: false }]);
      await again.trim(5);
      assert.ok(again.first <= 4, `first is ${again.first}`);
      await again.forget('f');
      assert.deepEqual(again.checkpoints(), []);
      await again.trim(5);
      assert.equal(again.first, 6);
    } finally {
      await again.close();
    }
  });
}

function ascending(a: number, b: number): number {
  return a - b;
}
