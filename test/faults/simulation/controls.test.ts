import { describe, expect, it } from 'vitest';
import { apply } from '../../../src/core/apply.ts';
import type { StorageWrite } from '../../../src/storage/disk/index/leveldb/level-storage.ts';
import { PROGRESS_KEY } from '../../../src/storage/disk/index/records/progress.ts';
import { faultSeed } from '../support.ts';
import { simulate } from './simulate.ts';
import type { Sabotage } from './world.ts';

/** Seeds within which the error must be found. */
const SEEDS = 60;

/** Returns the first failure of a broken world. */
async function found(sabotage: Sabotage): Promise<string> {
  for (let i = 0; i < SEEDS; i += 1) {
    const problem = await simulate(faultSeed() + i, sabotage).then(
      () => undefined,
      (error: Error) => error.message,
    );
    if (problem !== undefined) return problem;
  }
  return 'nothing';
}

/** Leaves only the progress of some batches of the index. */
function progressAlone(writes: readonly StorageWrite[]): readonly StorageWrite[] {
  const progress = writes.find(({ key }) => key === PROGRESS_KEY);
  const isLost = progress !== undefined && writes.length > 4 && writes.length % 3 === 0;
  return isLost ? [progress] : writes;
}

describe('the simulation finds', () => {
  it('a disk that reports the log as synced when it is not', async () => {
    expect(await found({ disk: { files: { lies: (path) => path.includes('/log/') } } })).toMatch(
      /acknowledged at \d+ and lost|told at \d+, lost|ends at|is damaged|does not start/,
    );
  });

  it('a disk that does not sync the names of the log', async () => {
    expect(await found({ disk: { files: { forgetsNames: (path) => path.endsWith('/log') } } })).toMatch(
      /acknowledged at \d+ and lost|told at \d+, lost|ends at|no file of the log|lacks the file/,
    );
  });

  it('an index with unsynced batches, of which one is lost and a later one is not', async () => {
    expect(await found({ disk: { storage: { lies: () => true, batchesInFile: 4 } } })).toMatch(
      /index was rebuilt|LOG_CORRUPT/,
    );
  });

  it('an index that stores its progress without what it has folded', async () => {
    expect(await found({ disk: { storage: { changes: progressAlone } } })).toMatch(
      /index was rebuilt|LOG_CORRUPT|INVARIANT|the state of/,
    );
  });

  it('a mirror that loses single updates', async () => {
    expect(await found({ mirrorLoses: ({ position }) => position % 25 === 0 })).toMatch(/the mirror of/);
  });

  it('a publisher that confirms what was not delivered', async () => {
    expect(await found({ brokerLoses: (position) => position === 20 })).toMatch(/the subscriber/);
  });

  it('an update that is in the log and not in the state', async () => {
    const skipping: typeof apply = (state, update) => {
      if (update.position !== 20) return apply(state, update);
      apply(state, { ...update, operation: 'touch' });
    };
    expect(await found({ internals: { apply: skipping } })).toMatch(/the state of/);
  });

  it('a follower that never catches up', async () => {
    expect(await found({ staysAway: 'mirror' })).toMatch(/no rest/);
  });

  it('anything that does not depend on the seed', async () => {
    let calls = 0;
    const jitter = () => {
      calls += 1;
      return calls / 1_000_000;
    };
    const seed = faultSeed();
    const { trace } = await simulate(seed, { jitter });
    expect((await simulate(seed, { jitter })).trace).not.toBe(trace);
  });
});
