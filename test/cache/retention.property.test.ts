import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentContextCache, type OpenOptions } from '../../src/index.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { foldTo } from '../support/past.ts';
import { checkpointed, command, expectFold } from '../support/past-commands.ts';
import { fcOptions } from '../support/property.ts';
import { expectWindow, Recording } from '../support/retention.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';

const opened: AgentContextCache[] = [];

async function open(options: OpenOptions): Promise<AgentContextCache> {
  const cache = await AgentContextCache.open({ sync: false, durability: 'memory', natsUrl: null, ...options });
  opened.push(cache);
  return cache;
}

afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.shutdown({ timeoutMs: 5_000 });
});

/** A round of commands, followed by a compaction that keeps `keep` updates, with a view in use or without. */
const round = fc.record({
  commands: fc.array(command, { maxLength: 60, size: 'max' }),
  keep: fc.integer({ min: 0, max: 40 }),
  viewed: fc.option(fc.nat(1_000), { freq: 3 }),
  after: fc.constantFrom('nothing', 'checkpoint', 'reopen', 'compact again'),
});
const plan = fc.array(round, { minLength: 1, maxLength: 6 });

describe('the past that is kept', () => {
  it('is in a data directory the same as without retention, whatever is compacted and when', async () => {
    const scenario = fc.asyncProperty(plan, async (rounds) => {
      const clock = new ManualClock();
      const dataDir = await tempDir('retention');
      const options = { clock, dataDir, passivateAfterMs: 50, log: { capacityUpdates: 7 } };
      let cache = await open(options);
      const recording = new Recording();
      for (const { commands, keep, viewed, after } of rounds) {
        for (const [index, each] of commands.entries()) {
          each(cache, clock);
          // Makes many blocks.
          if (index % 5 === 0) await cache.flush();
        }
        await recording.record(cache);
        const log = recording.updates;
        const { begin } = cache.health().retention;
        const held = viewed === null ? undefined : begin + (viewed % (cache.position - begin + 1));
        const view = held === undefined ? undefined : cache.at(held);
        if (view !== undefined && keep % 2 === 0) view.listNamespaces();
        const report = await cache.compact({ keepUpdates: keep });
        expect(report.first).toBe(cache.health().log.first);
        const due = Math.max(begin, cache.position - keep);
        const now = await expectWindow(cache, log);
        expect(now).toBeLessThanOrEqual(Math.min(due, held ?? due));
        if (held === undefined || held >= due) expect([now, report.heldBy]).toEqual([due, undefined]);
        if (view !== undefined) expectFold(view, foldTo(log, view.position));
        view?.[Symbol.dispose]();
        if (after === 'checkpoint') await checkpointed(cache, clock);
        if (after === 'compact again') await cache.compact({ keepUpdates: Math.floor(keep / 2) });
        if (after === 'reopen') {
          await cache.shutdown();
          cache = await open(options);
        }
        // Entries may have expired meanwhile.
        await recording.record(cache);
        await expectWindow(cache, log);
      }
      await cache.shutdown();
      removeTempDir(dataDir);
    });
    await fc.assert(scenario, fcOptions(8));
  });

  it('is in memory the same as without retention', async () => {
    const scenario = fc.asyncProperty(plan, fc.integer({ min: 20, max: 200 }), async (rounds, capacity) => {
      const clock = new ManualClock();
      const cache = await open({ clock, log: { keepUpdates: capacity, capacityUpdates: capacity } });
      const log: Recording['updates'] = [];
      cache.subscribe((update) => void log.push(update));
      for (const { commands, keep, viewed } of rounds) {
        for (const each of commands) each(cache, clock);
        await cache.flush();
        const { begin } = cache.health().retention;
        const view = cache.at(begin + ((viewed ?? 0) % (cache.position - begin + 1)));
        const report = await cache.compact({ keepUpdates: keep });
        expect(report.heldBy).toBeUndefined();
        expect(await expectWindow(cache, log)).toBe(Math.max(begin, cache.position - keep));
        expectFold(view, foldTo(log, view.position));
      }
      await cache.shutdown();
    });
    await fc.assert(scenario, fcOptions(40));
  });
});
