import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { digestOf, digestOfAll } from '../../src/core/encoding/digest.ts';
import { NamespaceState } from '../../src/core/namespace-state.ts';
import { AgentContextCache, type OpenOptions, replay, systemClock } from '../../src/index.ts';
import { stateViewOf } from '../../src/past/view.ts';
import { anyStep } from '../support/cache.ts';
import { ManualClock } from '../support/manual-clock.ts';
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

/** Computes every namespace's digest from the state that the log gives. */
function fromScratch(cache: AgentContextCache, position = cache.position): Map<string, string> {
  const moment = stateViewOf(cache.at(position));
  return new Map([...moment.names()].map((name) => [name, digestOf(moment.state(name) ?? new NamespaceState(name))]));
}

async function expectDigests(cache: AgentContextCache): Promise<string> {
  const expected = fromScratch(cache);
  const whole = await cache.digest();
  expect(whole).toBe(digestOfAll(expected));
  for (const [name, digest] of expected) expect(await cache.digest(name)).toBe(digest);
  return whole;
}

function act(
  cache: AgentContextCache,
  clock: ManualClock,
  step: typeof anyStep extends fc.Arbitrary<infer S> ? S : never,
): void {
  if ('wait' in step) clock.advance(step.wait);
  else cache.supervisor.send(step);
}

async function checkpointed(cache: AgentContextCache, clock: ManualClock): Promise<void> {
  await cache.flush();
  await vi.waitFor(
    () => {
      clock.advance(600);
      expect(cache.health().followers.find(({ name }) => name === 'index')?.checkpoint).toBe(cache.position);
    },
    { timeout: 30_000 },
  );
}

const plan = fc.array(fc.array(anyStep, { maxLength: 40 }), { minLength: 1, maxLength: 5 });

describe('the digest of a cache', () => {
  it('equals in memory the digest over all entries, whenever it is read', async () => {
    const scenario = fc.asyncProperty(plan, fc.array(fc.boolean(), { maxLength: 8 }), async (batches, asks) => {
      const clock = new ManualClock();
      const cache = await open({ clock });
      for (const [index, batch] of batches.entries()) {
        for (const [at, step] of batch.entries()) {
          // Requested between two writes, and not awaited.
          if (asks[at % 8]) void cache.digest();
          act(cache, clock, step);
        }
        if (asks[index] !== false) await expectDigests(cache);
      }
      await expectDigests(cache);
      await cache.shutdown();
    });
    await fc.assert(scenario, fcOptions(100));
  });

  it('is the digest at the time of the call while writers continue', async () => {
    let now = 1_000;
    // The clock advances by more than a slice at each reading, so that writers get a turn after every entry.
    const clock = { ...systemClock, now: () => (now += 10) };
    const cache = await open({ clock });
    let i = 0;
    const write = () => {
      i += 1;
      void cache.set(`k${i % 50}`, i, `n${i % 9}`);
      if (i % 7 === 0) void cache.delete(`k${(i + 9) % 50}`, `n${i % 9}`);
      if (i % 61 === 0) void cache.clearNamespace(`n${i % 9}`);
      if (i % 97 === 0) void cache.dropNamespace(`n${i % 9}`);
    };
    while (i < 300) write();
    for (let round = 0; round < 6; round += 1) {
      let done = false;
      const asked = cache.digest().finally(() => {
        done = true;
      });
      await Promise.resolve();
      const { position } = cache;
      const began = i;
      while (!done) {
        await new Promise((resolve) => setImmediate(resolve));
        write();
      }
      if (round === 0) expect(i - began).toBeGreaterThan(100);
      expect(await asked).toBe(digestOfAll(fromScratch(cache, position)));
    }
  });

  it('is the same in a reopened, replayed, restored or forked cache, and in a later view', async () => {
    const scenario = fc.asyncProperty(plan, fc.boolean(), async (batches, passivates) => {
      const clock = new ManualClock();
      const dataDir = await tempDir('digest');
      const options = { clock, dataDir, ...(passivates ? { passivateAfterMs: 50 } : {}) };
      let cache = await open(options);
      for (const batch of batches) {
        for (const step of batch) act(cache, clock, step);
        await expectDigests(cache);
        await checkpointed(cache, clock);
        await expectDigests(cache);
      }
      const digest = await cache.digest();
      const seen = cache.at(cache.position);
      await cache.backup();
      await cache.shutdown();
      cache = await open(options);
      expect(await cache.digest()).toBe(digest);
      const branch = await cache.fork();
      opened.push(branch);
      await cache.set('later', 1, 'another');
      expect(await branch.digest()).toBe(digest);
      await branch.shutdown();
      expect(digestOfAll(fromScratch(cache, seen.position))).toBe(digest);
      await cache.shutdown();
      const restored = await open({ clock, restoreFrom: join(dataDir, 'backups') });
      expect(await restored.digest()).toBe(digest);
      const { cache: replayed } = await replay(dataDir, { clock, until: seen.position });
      opened.push(replayed);
      expect(await replayed.digest()).toBe(digest);
      removeTempDir(dataDir);
    });
    await fc.assert(scenario, fcOptions(25));
  });

  it('depends neither on positions nor on an empty default namespace', async () => {
    const clock = new ManualClock();
    const [one, other] = [await open({ clock }), await open({ clock })];
    expect(await one.digest()).toBe(await other.digest());
    await expect(one.set('k', 1, 'default', { ifVersion: 7 })).rejects.toMatchObject({ code: 'VERSION_CONFLICT' });
    expect(await one.digest()).toBe(await other.digest());
    expect(await one.digest()).toBe(await one.digest());
    await one.set('k', 1, 'n');
    await other.set('k', 1, 'gone');
    await other.set('k', 1, 'n');
    await other.dropNamespace('gone');
    expect(one.position).not.toBe(other.position);
    expect(await one.digest()).toBe(await other.digest());
    expect(await one.digest('n')).toBe(await other.digest('n'));
    expect(await one.digest('never')).toBe(await one.digest('default'));
    await one.clearNamespace('n');
    expect(await one.digest('n')).not.toBe(await one.digest('never'));
  });

  it('refuses an invalid name, and every call after the shutdown', async () => {
    const cache = await open({});
    await expect(cache.digest('')).rejects.toMatchObject({ code: 'INVALID_NAME' });
    await cache.shutdown();
    await expect(cache.digest()).rejects.toMatchObject({ code: 'CLOSED' });
  });
});
