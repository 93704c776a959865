import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildDist } from '../../support/dist.ts';
import { startNats, startRedis, type TestServer } from '../../support/servers.ts';
import { removeTempDir, tempDir } from '../../support/temp-dir.ts';
import { ReportingChild } from '../reporting-child.ts';
import { faultSeed, long, Random, times } from '../support.ts';
import { growing, levels, type Sample, TOLERANCE } from './level.ts';

/** Six seconds; twenty minutes in the long form. */
const SAMPLES = times(30, 300);
const EVERY_MS = times(200, 4_000);

/** Kills and stops servers by seed until it is over, and leaves them running. */
async function flap(servers: readonly TestServer[], random: Random, ended: () => boolean): Promise<void> {
  while (!ended()) {
    const server = random.pick(servers);
    const awayMs = random.below(times(500, 12_000));
    if (random.below(2) === 0) {
      await server.kill();
      await sleep(awayMs);
      await server.restart();
    } else {
      server.pause();
      await sleep(awayMs);
      server.resume();
    }
    await sleep(random.below(times(400, 6_000)));
  }
}

/** Soaks a process and returns its measurements. */
async function soak(leak: boolean): Promise<Sample[]> {
  const seed = faultSeed();
  await using redis = await startRedis();
  await using nats = await startNats();
  const dataDir = await tempDir('soak');
  const job = { redisUrl: redis.url, natsUrl: nats.url, dataDir, seed, samples: SAMPLES, everyMs: EVERY_MS, leak };
  await using child = new ReportingChild(join(import.meta.dirname, 'soak-child.mjs'), job);
  const samples: Sample[] = [];
  const flapping = flap([redis, nats], new Random(seed), () => samples.length === SAMPLES);
  while (samples.length < SAMPLES) samples.push(JSON.parse(await child.next()) as Sample);
  await flapping;
  child.tell('end');
  expect(await child.next()).toBe('synced');
  removeTempDir(dataDir);
  return samples;
}

describe.concurrent('a process that works for a long time while its servers come and go', () => {
  beforeAll(buildDist);

  it('uses no more in the second half than in the first: heap, handles, timers, descriptors, files', async () => {
    const samples = await soak(false);
    if (long) console.log(JSON.stringify(levels(samples)));
    expect(growing(samples), `FAULT_SEED=${faultSeed()}`).toEqual([]);
  });

  it('is found to use more of each if it leaks', async () => {
    const found = growing(await soak(true)).map((growth) => growth.replace(/:.*/, ''));
    expect(found, `FAULT_SEED=${faultSeed()}`).toEqual(Object.keys(TOLERANCE));
  });
});
