import { expect, it } from 'vitest';
import { createActor, createMachine } from 'xstate';
import { createUpdate } from '../../src/core/update.ts';
import { Follower } from '../../src/followers/follower.ts';
import type { FollowerSink } from '../../src/storage/follower-sink.ts';
import { MemoryLog } from '../../src/storage/memory/memory-log.ts';
import { ManualClock } from '../support/manual-clock.ts';

const LINGER = { lingerMs: 1_000, lingerBytes: 100_000 };

/** A follower of a log in memory that gathers; `hold` makes its deliveries last until `release`. */
function follow(linger = LINGER) {
  const log = new MemoryLog({ capacityUpdates: 1_000 });
  const clock = new ManualClock();
  const batches: number[] = [];
  let gate: Promise<void> | undefined;
  let release = () => {};
  const sink: FollowerSink = {
    batchSize: 10,
    connect: async () => 'resume',
    deliver: async (updates) => {
      batches.push(updates.length);
      await gate;
    },
    disconnect: async () => {},
  };
  const parent = createActor(createMachine({})).start();
  const follower = new Follower({
    ...{ name: 'f', log, sink, clock, parent, start: 0, ...linger },
    ...{ backOff: { initialMs: 1, maximumMs: 1, stalledAfter: 1 }, report: () => {} },
    captureState: () => {
      throw new Error('no capture');
    },
  });
  let version = 0;
  return {
    clock,
    batches,
    follower,
    hold: () => {
      gate = new Promise((resolve) => {
        release = resolve;
      });
    },
    release: () => {
      gate = undefined;
      release();
    },
    append: async (count: number, bytes = 10) => {
      for (let i = 0; i < count; i += 1) {
        version += 1;
        log.append([
          createUpdate({
            namespace: 'n',
            version,
            operation: 'set',
            key: 'k',
            value: version,
            at: 1,
            replaced: version - 1,
            bytes,
          }),
        ]);
      }
      await settled();
    },
  };
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

it('gathers for a while, also what came while the batch before was delivered', async () => {
  const { append, batches, clock, follower, hold, release } = follow();
  await settled();
  await append(3);
  expect(batches).toEqual([]);
  hold();
  clock.advance(1_000);
  await settled();
  expect(batches).toEqual([3]);
  await append(4);
  release();
  await settled();
  expect(batches).toEqual([3]);
  expect(follower.health).toMatchObject({ state: 'following', lag: 4 });
  clock.advance(999);
  await append(2);
  expect(batches).toEqual([3]);
  clock.advance(1);
  await settled();
  expect(batches).toEqual([3, 6]);
  expect(clock.pending).toEqual([]);
  await follower.stop();
});

it('delivers a full batch at once, and goes on gathering what is left', async () => {
  const { append, batches, clock, follower } = follow();
  await settled();
  await append(25);
  // The first commits came one by one.
  expect(batches.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(20);
  expect(batches.every((count) => count === 10)).toBe(true);
  clock.advance(1_000);
  await settled();
  expect(follower.lag).toBe(0);
  await follower.stop();
});

it('delivers at once what has many bytes, and what is waited for', async () => {
  const { append, batches, clock, follower } = follow();
  await settled();
  await append(1, 200_000);
  expect(batches).toEqual([1]);
  await append(2);
  expect(batches).toEqual([1]);
  await follower.caughtUp(new AbortController().signal);
  expect(batches).toEqual([1, 2]);
  await append(1);
  expect(batches).toEqual([1, 2]);
  expect(clock.pending).toEqual([1_000]);
  await follower.stop();
  expect(clock.pending).toEqual([]);
});

it('gathers nothing where it is not to', async () => {
  const { append, batches, clock, follower } = follow({ lingerMs: 0, lingerBytes: Number.POSITIVE_INFINITY });
  await settled();
  await append(2);
  await append(1);
  expect(batches.reduce((sum, count) => sum + count, 0)).toBe(3);
  expect(clock.pending).toEqual([]);
  await follower.stop();
});
