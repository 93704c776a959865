import { beforeAll, expect, test } from 'vitest';
import { storm } from '../../share/storm.ts';
import { buildDist } from '../../support/dist.ts';
import { tempDir } from '../../support/temp-dir.ts';

beforeAll(() => buildDist());

const isLong = process.env.FAULTS === 'long';

test('eight processes that share a directory lose nothing and do nothing twice, killed and paused at random', async () => {
  const seed = Number(process.env.STORM_SEED ?? Date.now() % 1_000_000);
  const durationMs = isLong ? 120_000 : 15_000;
  const report = await storm({ dataDir: await tempDir('storm'), processes: 8, durationMs, seed }).catch((error) => {
    error.message = `Seed ${seed}: ${error.message}`;
    throw error;
  });
  console.log(`Seed ${seed}:`, report);
  expect(report.holdersLost).toBeGreaterThan(0);
}, 900_000);
