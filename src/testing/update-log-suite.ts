import assert from 'node:assert/strict';
import type { Update } from '../core/update.ts';
import {
  all,
  type Check,
  fill,
  isError,
  type LogUnderTest,
  oneOfEach,
  positions,
  range,
  refuses,
  sets,
} from './update-log-samples.ts';
import { trimming } from './update-log-trim.ts';

/** Options of {@link updateLogSuite}. */
export interface UpdateLogSuiteOptions {
  /** `test` or `it` of the test runner. */
  readonly test: (name: string, run: () => Promise<void>) => unknown;
  /** Opens a log. Called for each test. */
  readonly open: () => LogUnderTest | Promise<LogUnderTest>;
}

/**
 * Defines the tests that every `UpdateLog` must pass, for any test runner.
 *
 * @example
 * ```ts
 * import { describe, test } from 'vitest';
 * describe('MyLog', () => updateLogSuite({ test, open: () => ({ log: new MyLog() }) }));
 * ```
 */
export function updateLogSuite({ test, open }: UpdateLogSuiteOptions): void {
  const check: Check = (name, run) =>
    test(name, async () => {
      const place = await open();
      try {
        await run(place.log, place);
      } finally {
        await place.log.close();
      }
    });
  appending(check);
  listening(check);
  reading(check);
  following(check);
  trimming(check);
  beginning(check);
  closing(check);
  reopening(check);
}

function appending(check: Check): void {
  check('is empty and ready when new, and has an id', async (log) => {
    assert.deepEqual([log.head, log.committed, log.first, log.status], [0, 0, 1, 'ready']);
    assert.ok(log.id.length > 0);
    assert.equal(log.whenCommitted(0), undefined);
    await log.flush();
  });

  check('append returns positions without gaps, synchronously', async (log) => {
    const updates = sets(1, 5);
    log.append(updates.slice(0, 2));
    log.append([]);
    log.append(updates.slice(2));
    assert.deepEqual(positions(updates), [1, 2, 3, 4, 5]);
    assert.equal(log.head, 5);
  });

  check('commits an update after append returns, and resolves its waiters', async (log) => {
    log.append(sets(1, 3));
    const first = log.whenCommitted(1);
    const last = log.whenCommitted(3);
    assert.equal(log.committed, 0);
    await Promise.all([first, last]);
    assert.equal(log.committed, 3);
    assert.equal(log.whenCommitted(3), undefined);
    assert.equal(log.whenCommitted(1), undefined);
  });

  check('flush waits for everything appended so far', async (log) => {
    for (let i = 1; i <= 100; i += 1) log.append(sets(i, 1));
    await log.flush();
    assert.equal(log.committed, 100);
  });
}

function listening(check: Check): void {
  check('onCommit delivers every update once, in order, in whole groups', async (log) => {
    const groups: (readonly Update[])[] = [];
    const stop = log.onCommit((updates) => {
      groups.push(updates);
      assert.equal(log.committed, updates.at(-1)?.position);
    });
    for (let i = 0; i < 50; i += 1) {
      log.append(sets(i * 3 + 1, 3));
      if (i % 7 === 0) await log.flush();
    }
    await log.flush();
    assert.deepEqual(positions(groups.flat()), range(1, 150));
    for (const group of groups) assert.equal(group.length % 3, 0);
    stop();
    log.append(sets(151, 1));
    await log.flush();
    assert.equal(groups.flat().length, 150);
  });

  check('allows a listener to append', async (log) => {
    const seen: number[] = [];
    log.onCommit((updates) => {
      seen.push(...positions(updates));
      if (log.head < 5) log.append(sets(log.head + 1, 1));
    });
    log.append(sets(1, 1));
    while (seen.length < 5) await log.whenCommitted(log.head);
    assert.deepEqual(seen, [1, 2, 3, 4, 5]);
  });
}

function reading(check: Check): void {
  check('read yields committed updates, both ends inclusive', async (log) => {
    await fill(log, 20);
    assert.deepEqual(positions(await all(log.read(1))), range(1, 20));
    assert.deepEqual(positions(await all(log.read(7, 9))), [7, 8, 9]);
    assert.deepEqual(positions(await all(log.read(20))), [20]);
    assert.deepEqual(await all(log.read(21)), []);
    assert.deepEqual(await all(log.read(9, 7)), []);
    assert.deepEqual(positions(await all(log.read(19, 1000))), [19, 20]);
  });

  check('read ends at the last update of the time of the call', async (log) => {
    await fill(log, 3);
    const updates = log.read(1);
    await fill(log, 3);
    assert.deepEqual(positions(await all(updates)), [1, 2, 3]);
  });

  check('read refuses positions older than the log', async (log) => {
    await refuses('POSITION_UNAVAILABLE', () => all(log.read(0)));
  });

  check('returns updates as they were appended', async (log) => {
    const written = oneOfEach();
    log.append(written);
    await log.flush();
    assert.deepEqual(await all(log.read(1)), written);
  });
}

function following(check: Check): void {
  check('a follower gets all updates in order, in batches, as it saves its checkpoint', async (log) => {
    const follower = log.follower('f');
    assert.deepEqual([follower.name, follower.checkpoint, await follower.read(10)], ['f', 0, undefined]);
    await fill(log, 10);
    const got: number[] = [];
    for (let batch = await follower.read(4); batch !== undefined; batch = await follower.read(4)) {
      assert.ok(batch.updates.length <= 4);
      assert.equal(batch.through, batch.updates.at(-1)?.position);
      assert.equal(batch.skipped, 0);
      got.push(...positions(batch.updates));
      await follower.save(batch.through);
      assert.equal(follower.checkpoint, batch.through);
    }
    assert.deepEqual(got, range(1, 10));
  });

  check('a follower that does not save gets the same updates again', async (log) => {
    const follower = log.follower('f');
    await fill(log, 3);
    assert.deepEqual(await follower.read(2), await follower.read(2));
  });

  check('a follower reads only what is committed', async (log) => {
    const follower = log.follower('f');
    log.append(sets(1, 2));
    assert.equal(await follower.read(10), undefined);
    await log.flush();
    assert.equal((await follower.read(10))?.through, 2);
  });

  check('followers are independent, and each starts at the position it asks for', async (log) => {
    await fill(log, 5);
    const all = log.follower('all');
    const late = log.follower('late', 3);
    assert.deepEqual(positions((await late.read(10))?.updates ?? []), [4, 5]);
    await late.save(5);
    assert.deepEqual(positions((await all.read(10))?.updates ?? []), range(1, 5));
    assert.equal(log.follower('late').checkpoint, 5);
  });

  check('a checkpoint moves neither back nor beyond the log', async (log) => {
    const follower = log.follower('f');
    await fill(log, 5);
    await follower.save(4);
    await follower.save(2);
    assert.equal(follower.checkpoint, 4);
    await refuses('INVARIANT', () => follower.save(6));
  });

  check('a removed follower starts again from the beginning', async (log) => {
    await fill(log, 5);
    const follower = log.follower('f');
    await follower.save(5);
    await follower.remove();
    assert.equal(log.follower('f', 2).checkpoint, 2);
  });

  check('a follower may save a position that a resync has delivered', async (log) => {
    const follower = log.follower('f');
    await fill(log, 5);
    follower.expose(5);
    assert.equal(follower.checkpoint, 0);
    await follower.save(5);
    assert.equal(await follower.read(1), undefined);
  });
}

function beginning(check: Check): void {
  check('an empty log can begin after a position', async (log) => {
    const early = log.follower('early');
    await log.beginAfter(100);
    assert.deepEqual([log.head, log.committed, log.first], [100, 100, 101]);
    await refuses('POSITION_UNAVAILABLE', () => all(log.read(100)));
    await fill(log, 2);
    assert.deepEqual(positions(await all(log.read(101))), [101, 102]);
    for (const follower of [early, log.follower('late')]) {
      assert.deepEqual(positions((await follower.read(10))?.updates ?? []), [101, 102]);
    }
  });

  check('a log with updates cannot begin after another position', async (log) => {
    await fill(log, 1);
    await refuses('NOT_EMPTY', () => log.beginAfter(100));
    assert.equal(log.head, 1);
  });
}

function closing(check: Check): void {
  check('close commits and announces pending updates, and refuses later calls', async (log) => {
    const states: string[] = [];
    let committed = 0;
    log.onStatus((status) => states.push(status));
    log.onCommit((updates) => {
      committed += updates.length;
    });
    const follower = log.follower('f');
    log.append(sets(1, 3));
    await log.close();
    await log.close();
    assert.deepEqual([committed, log.status, states], [3, 'closed', ['closed']]);
    assert.throws(() => log.append(sets(4, 1)), isError('CLOSED'));
    await refuses('CLOSED', () => follower.read(1));
    await refuses('CLOSED', () => follower.save(1));
    await refuses('CLOSED', () => all(log.read(1)));
    await refuses('CLOSED', () => log.beginAfter(1));
  });
}

function reopening(check: Check): void {
  check('a durable log opens as it was left', async (log, { reopen }) => {
    assert.equal(log.durable, reopen !== undefined);
    if (reopen === undefined) return;
    const written = oneOfEach();
    log.append(written);
    await log.flush();
    await log.follower('f').save(2);
    await log.close();
    const again = await reopen();
    try {
      assert.equal(again.id, log.id);
      assert.deepEqual([again.head, again.committed, again.first], [log.head, log.head, 1]);
      assert.deepEqual(await all(again.read(1)), written);
      assert.equal(again.follower('f').checkpoint, 2);
      await fill(again, 1);
      assert.equal(again.head, log.head + 1);
    } finally {
      await again.close();
    }
  });
}
