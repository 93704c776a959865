import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { AgentContextCache } from '../../src/index.ts';
import { tempDir } from '../support/temp-dir.ts';
import { fill, open, told } from '../support/verify.ts';

/** Writes as fast as the log accepts it, until it is stopped. */
function writing(cache: AgentContextCache): { readonly written: () => number; readonly stop: () => Promise<void> } {
  let goes = true;
  let i = 0;
  const done = (async () => {
    while (goes) {
      for (let n = 0; n < 40; n += 1) {
        i += 1;
        const namespace = `n${i % 12}`;
        void cache.set(`k${i % 60}`, { i }, namespace, i % 5 === 0 ? { ttl: 3 } : {});
        if (i % 7 === 0) void cache.delete(`k${(i + 3) % 60}`, namespace);
        if (i % 501 === 0) void cache.clearNamespace(namespace);
        if (i % 777 === 0) void cache.dropNamespace(namespace);
        if (i % 97 === 0) cache.supervisor.send({ type: 'namespace.passivate', namespace: `n${(i + 1) % 12}` });
      }
      await cache.flush();
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  })();
  return {
    written: () => i,
    stop: async () => {
      goes = false;
      await done;
    },
  };
}

describe('verify while writers continue', () => {
  it('finds nothing in a data directory', async () => {
    const cache = await open({ dataDir: await tempDir('live'), maxResidentNamespaces: 6, passivateAfterMs: 20 });
    await fill(cache);
    const writer = writing(cache);
    let residents = 0;
    const positions: number[] = [];
    // If the machine pauses for a while, all of them become idle: then there is one more round.
    for (let round = 0; round < 6 || writer.written() <= 200 || residents === 0; round += 1) {
      const stages = new Set<string>();
      const report = await cache.verify({ onProgress: ({ stage }) => stages.add(stage) });
      expect(told(report.problems)).toEqual([]);
      residents += report.checked.resident;
      expect(stages).toContain('log');
      positions.push(report.position);
      if (round === 3) await cache.backup();
      await vi.waitFor(() => expect(cache.position).toBeGreaterThan(report.position), { timeout: 30_000 });
    }
    await writer.stop();
    expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b));
    const last = await cache.verify();
    expect(told(last.problems)).toEqual([]);
    expect(last.digest).toBe(await cache.digest());
  });

  it('finds nothing in memory', async () => {
    const cache = await open({ log: { capacityUpdates: 1_000_000 } });
    await fill(cache);
    const writer = writing(cache);
    for (let round = 0; round < 6 || writer.written() <= 50; round += 1) {
      const report = await cache.verify();
      expect(told(report.problems)).toEqual([]);
      expect(report.notes).toEqual([]);
    }
    await writer.stop();
  });

  it('is waited for by a compaction, which then removes what was verified', async () => {
    const dataDir = await tempDir('compacted');
    const cache = await open({ dataDir, log: { keepUpdates: 200 } });
    await fill(cache);
    // The old positions are unreadable then, but base and log still hold everything.
    await vi.waitFor(() => expect(cache.health().retention.begin).toBeGreaterThan(1_000), { timeout: 30_000 });
    await cache.synced();
    const events: string[] = [];
    let compacted: Promise<unknown> | undefined;
    const report = await cache.verify({
      onProgress: () => {
        compacted ??= cache.compact({ keepUpdates: 10 }).then(() => events.push('compacted'));
      },
    });
    events.push('verified');
    expect(told(report.problems)).toEqual([]);
    expect(report.checked.updates).toBe(cache.position);
    await compacted;
    expect(events).toEqual(['verified', 'compacted']);
    const after = await cache.verify();
    expect(told(after.problems)).toEqual([]);
    expect(after.checked.updates).toBeLessThan(100);
    expect(after.digest).toBe(report.digest);
  });

  it('reports a base file that was removed meanwhile as temporary', async () => {
    const dataDir = await tempDir('gone');
    const cache = await open({ dataDir });
    await fill(cache);
    await cache.compact({ keepUpdates: 10 });
    await rm(join(dataDir, 'db', 'base'), { recursive: true });
    await expect(cache.verify()).rejects.toMatchObject({
      code: 'LOG_UNAVAILABLE',
      message: expect.stringMatching(/Try again/),
    });
  });

  it('stops when its signal aborts, and delays nothing', async () => {
    const cache = await open({ dataDir: await tempDir('ended') });
    await fill(cache);
    const controller = new AbortController();
    const ended = cache.verify({ signal: controller.signal, onProgress: () => controller.abort(new Error('enough')) });
    await expect(ended).rejects.toThrow('enough');
    await cache.shutdown();
    await expect(cache.verify()).rejects.toMatchObject({ code: 'CLOSED' });
  });
});

describe('verify with an external primary', () => {
  it('checks everything that the cache keeps', async () => {
    const { InMemoryContextCache } = await import('../../src/index.ts');
    const cache = await open({ dataDir: await tempDir('primary'), primaryCache: new InMemoryContextCache() });
    await fill(cache);
    const report = await cache.verify();
    expect(told(report.problems)).toEqual([]);
    expect(report.checked).toMatchObject({ updates: cache.position, resident: 4 });
    const inMemory = await open({ primaryCache: new InMemoryContextCache() });
    await fill(inMemory);
    expect(told((await inMemory.verify()).problems)).toEqual([]);
  });
});
