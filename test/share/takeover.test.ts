import { beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '../support/cli.ts';
import { buildDist } from '../support/dist.ts';
import { Sharing } from '../support/sharing.ts';
import { tempDir } from '../support/temp-dir.ts';
import { storm } from './storm.ts';

beforeAll(() => buildDist());

/** The promise is 2 seconds. A machine that runs other tests at the same time takes longer. */
const LONGEST_MS = 6_000;

describe('processes that share a directory', () => {
  test.each(['is killed', 'hangs', 'shuts down'] as const)('go on soon when the holder %s', async (how) => {
    await using sharing = new Sharing(await tempDir('share'));
    const { reported } = sharing;
    const sharers = [sharing.start(), sharing.start(), sharing.start()];
    await Promise.all(sharers.map(({ ready }) => ready));
    await waitFor(() => expect(reported.acknowledged.size).toBeGreaterThan(100));
    const holder = await sharing.holder();
    expect(holder).toBeDefined();
    reported.mark();
    if (how === 'shuts down') void holder?.ask('shutdown');
    else holder?.child.kill(how === 'hangs' ? 'SIGSTOP' : 'SIGKILL');
    const before = reported.acknowledged.size;
    await holder?.ended;
    await waitFor(async () => {
      expect(await sharing.holder()).toBeDefined();
      expect(reported.acknowledged.size).toBeGreaterThan(before + 300);
    });
    expect(reported.longestGap).toBeLessThan(LONGEST_MS);
    expect(reported.failures).toEqual([]);
  });

  test('lose nothing and do nothing twice, whichever of them is killed, paused or shut down', async () => {
    const seed = Number(process.env.STORM_SEED ?? Date.now() % 1_000_000);
    const durationMs = Number(process.env.STORM_MS ?? 4_000);
    const processes = Number(process.env.STORM_PROCESSES ?? 4);
    const report = await storm({ dataDir: await tempDir('storm'), processes, durationMs, seed }).catch((error) => {
      error.message = `Seed ${seed}: ${error.message}`;
      throw error;
    });
    expect(report.acknowledged).toBeGreaterThan(0);
  });
});
