import { expect, it } from 'vitest';
import { AgentContextCache } from '../../../../src/index.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { eventually } from '../../../support/waiting.ts';

it('folds the first 4,096 updates at once, so that its thread starts, and gathers more afterwards', async () => {
  const dataDir = await tempDir('index');
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null, internals: { checkpointMs: 3_600_000 } });
  const indexed = () => cache.health().followers.find(({ name }) => name === 'index')?.checkpoint;
  const write = (count: number) => Promise.all(Array.from({ length: count }, (_, i) => cache.set(`k${i % 100}`, i)));
  await write(4_095);
  await write(1);
  await eventually(() => expect(indexed()).toBe(4_096));
  await write(20_000);
  expect(indexed()).toBe(4_096);
  await cache.shutdown();
  expect(indexed()).toBe(24_096);
});
