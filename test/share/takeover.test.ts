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
  test('go on soon when the holder is killed, hangs, or shuts down', async () => {
    await using sharing = new Sharing(await tempDir('share'));
    const { reported } = sharing;
    await Promise.all(Array.from({ length: 4 }, () => sharing.start().ready));
    await waitFor(() => expect(reported.acknowledged.size).toBeGreaterThan(100));
    for (const how of ['SIGKILL', 'SIGSTOP', 'shutdown'] as const) {
      const holder = await waitFor(async () => {
        const found = await sharing.holder();
        expect(found).toBeDefined();
        return found;
      });
      reported.mark();
      if (how === 'shutdown') void holder?.ask('shutdown');
      else holder?.child.kill(how);
      await holder?.ended;
      const before = reported.acknowledged.size;
      await waitFor(() => expect(reported.acknowledged.size).toBeGreaterThan(before + 50));
      expect([how, Math.max(reported.longestGap, LONGEST_MS)]).toEqual([how, LONGEST_MS]);
    }
    expect(sharing.sharers).toHaveLength(1);
    expect(reported.failures).toEqual([]);
  });

  test('lose nothing and do nothing twice, whichever of them is killed, paused or shut down', async () => {
    const seed = Number(process.env.STORM_SEED ?? Date.now() % 1_000_000);
    const durationMs = Number(process.env.STORM_MS ?? 3_000);
    const processes = Number(process.env.STORM_PROCESSES ?? 3);
    const report = await storm({ dataDir: await tempDir('storm'), processes, durationMs, seed }).catch((error) => {
      error.message = `Seed ${seed}: ${error.message}`;
      throw error;
    });
    expect(report.acknowledged).toBeGreaterThan(0);
  });
});
