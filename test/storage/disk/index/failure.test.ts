import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { AgentContextCache } from '../../../../src/index.ts';
import { FaultStorage } from '../../../support/fault-storage.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);
const warnings: string[] = [];
const warn = (warning: Error) => warnings.push(warning.message);

beforeAll(() => {
  process.on('unhandledRejection', note);
  process.on('warning', warn);
});
afterAll(() => {
  process.off('unhandledRejection', note);
  process.off('warning', warn);
});

it('a failure of the index harms neither a reader, nor a writer, nor the process, even if onError throws', async () => {
  const storage = new FaultStorage();
  const dataDir = await tempDir('failure');
  const reported: string[] = [];
  const options = {
    ...{ dataDir, natsUrl: null, backOff: { initialMs: 1, maximumMs: 5 }, internals: { openStorage: storage.open } },
    onError: (error: Error) => {
      reported.push(error.message);
      throw new Error('onError fails');
    },
  };
  const cache = await AgentContextCache.open(options as never);
  let left = 5;
  storage.decide = () => {
    left -= 1;
    return left >= 0 ? 'lost' : 'done';
  };
  for (let i = 0; i < 10; i += 1) {
    await cache.set(`k${i}`, i);
    await cache.synced();
    expect(cache.get(`k${i}`)).toBe(i);
  }
  await cache.shutdown();
  expect(left).toBeLessThan(0);
  expect(reported.filter((message) => message.includes('injected: I/O error')).length).toBeGreaterThan(0);
  await vi.waitFor(() => expect(warnings).toContain('onError itself threw: Error: onError fails'));
  expect(unhandled).toEqual([]);
  const again = await AgentContextCache.open({ dataDir, natsUrl: null });
  expect((await again.verify()).problems).toEqual([]);
  expect(again.get('k9')).toBe(9);
  await again.shutdown();
});
