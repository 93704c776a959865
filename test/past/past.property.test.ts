import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { CacheView, OpenOptions, Update } from '../../src/index.ts';
import { AgentContextCache } from '../../src/index.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { type Folded, foldTo, logOf } from '../support/past.ts';
import { checkpointed, command, expectDifferences, expectFold, KEYS, NAMES } from '../support/past-commands.ts';
import { fcOptions } from '../support/property.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';

const opened: AgentContextCache[] = [];

async function open(options: OpenOptions): Promise<AgentContextCache> {
  const cache = await AgentContextCache.open({ sync: false, durability: 'memory', onError: () => {}, ...options });
  opened.push(cache);
  return cache;
}

afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.shutdown({ timeoutMs: 5_000 });
});

const plan = fc.array(fc.array(command, { maxLength: 40 }), { minLength: 1, maxLength: 4 });

async function expectPast(cache: AgentContextCache): Promise<Update[]> {
  await cache.flush();
  const log = await logOf(cache);
  for (let position = 0; position <= cache.position; position += 1) {
    using view = cache.at(position);
    expect(view.position).toBe(position);
    expectFold(view, foldTo(log, position));
  }
  for (const namespace of NAMES) {
    for (const key of KEYS) {
      const versions = [];
      for await (const version of cache.history(key, namespace)) versions.push(version);
      expect(versions).toEqual(foldTo(log, cache.position).history(key, namespace));
    }
  }
  return log;
}

describe('a view at any position', () => {
  it('equals the fold of the log, in memory', async () => {
    const scenario = fc.asyncProperty(plan, fc.nat(), fc.nat(), async (batches, a, b) => {
      const clock = new ManualClock();
      const cache = await open({ clock });
      for (const each of batches.flat()) each(cache, clock);
      const log = await expectPast(cache);
      await expectDifferences(cache, log, a % (cache.position + 1), b % (cache.position + 1));
    });
    await fc.assert(scenario, fcOptions(60));
  });

  it('equals the fold of the log, in a data directory, before and after checkpoints and a restart', async () => {
    const scenario = fc.asyncProperty(plan, fc.nat(), fc.nat(), fc.boolean(), async (batches, a, b, reopen) => {
      const clock = new ManualClock();
      const dataDir = await tempDir('past');
      const options = { clock, dataDir, passivateAfterMs: 50, log: { capacityUpdates: 7 } };
      let cache = await open(options);
      const views: (readonly [CacheView, Folded])[] = [];
      for (const batch of batches) {
        for (const each of batch) each(cache, clock);
        const kept = cache.at(cache.position);
        const before = await expectPast(cache);
        views.push([kept, foldTo(before, kept.position)]);
        if (reopen) {
          await cache.shutdown();
          cache = await open(options);
          views.length = 0;
        } else await checkpointed(cache, clock);
        const log = await expectPast(cache);
        for (const [view, folded] of views) expectFold(view, folded);
        await expectDifferences(cache, log, a % (cache.position + 1), b % (cache.position + 1));
      }
      await cache.shutdown();
      removeTempDir(dataDir);
    });
    await fc.assert(scenario, fcOptions(25));
  });

  it('finds the first update after which a predicate fails, by bisection', async () => {
    const scenario = fc.asyncProperty(
      fc.integer({ min: 1, max: 300 }),
      fc.nat(),
      fc.boolean(),
      async (count, n, durable) => {
        const clock = new ManualClock();
        const cache = await open({ clock, dataDir: durable ? await tempDir('bisect') : undefined });
        const planted = 1 + (n % count);
        for (let i = 1; i <= count; i += 1)
          void cache.set(`k${i % 7}`, i === planted ? 'broken' : i, `n${i % 5}`, { agent: `a${i}` });
        void cache.set('sound', true);
        let views = 0;
        const culprit = await cache.bisect((view) => {
          views += 1;
          return view.position < planted;
        });
        expect(culprit).toMatchObject({ position: planted, views, update: { value: 'broken', agent: `a${planted}` } });
        expect(views).toBeLessThanOrEqual(Math.log2(count + 1) + 2);
        expect(await cache.bisect(() => true)).toBeUndefined();
        expect(await cache.bisect(() => false)).toMatchObject({ position: 0, update: undefined });
        const found = await cache.bisect((view) => !view.has('sound'), { from: 1 });
        expect(found?.position).toBe(count + 1);
        await cache.shutdown();
      },
    );
    await fc.assert(scenario, fcOptions(25));
  });
});
