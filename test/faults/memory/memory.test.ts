import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildDist } from '../../support/dist.ts';
import { startNats, startRedis } from '../../support/servers.ts';
import { removeTempDir, tempDir } from '../../support/temp-dir.ts';
import { ReportingChild } from '../reporting-child.ts';
import { long } from '../support.ts';

const BOUND_BYTES = 64 * 1024 * 1024;
/** Ten minutes at 2,000 updates a second. Only the long form takes ten minutes. */
const UPDATES = 1_200_000;
const PER_SECOND = long ? 2_000 : undefined;

interface Growth {
  readonly before: number;
  readonly after: number;
  /** Updates that the mirror and the broadcaster still have to deliver: the smaller number of the two. */
  readonly lag: number;
}

interface Job {
  readonly updates: number;
  readonly perSecond?: number | undefined;
  readonly dataDir?: string | undefined;
  /** Keeps every update that it receives, as a control. */
  readonly leak?: boolean;
}

/** Runs a process that writes all the updates while Redis and NATS are stopped. */
async function growth(job: Job): Promise<Growth> {
  await using redis = await startRedis();
  await using nats = await startNats();
  const script = join(import.meta.dirname, 'memory-child.mjs');
  await using child = new ReportingChild(script, { redisUrl: redis.url, natsUrl: nats.url, ...job });
  expect(await child.next()).toBe('ready');
  redis.pause();
  nats.pause();
  child.tell('go');
  const grown = JSON.parse(await child.next()) as Growth;
  expect(grown.lag).toBe(job.updates);
  return grown;
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MB`;

describe.concurrent('memory while Redis and NATS are stopped for 1,200,000 updates', () => {
  beforeAll(buildDist);

  it('is found to grow with half as many updates if a listener keeps them', async () => {
    const { before, after } = await growth({ updates: UPDATES / 2, leak: true });
    expect(after - before).toBeGreaterThan(BOUND_BYTES);
  });

  it.each(['in memory', 'durable'])('grows by at most 64 MB, %s', async (where) => {
    const dataDir = where === 'durable' ? await tempDir('memory') : undefined;
    const { before, after } = await growth({ updates: UPDATES, perSecond: PER_SECOND, dataDir });
    if (dataDir !== undefined) removeTempDir(dataDir);
    expect(after - before, `${where}: ${megabytes(before)} became ${megabytes(after)}`).toBeLessThan(BOUND_BYTES);
  });
});
