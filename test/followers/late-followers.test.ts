import { afterEach, describe, expect, it, vi } from 'vitest';
import { AgentContextCache, type OpenOptions } from '../../src/index.ts';
import { failureOf } from '../support/backends.ts';
import { LateCache } from '../support/cache.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Nothing listens there. */
const CLOSED = 'redis://127.0.0.1:1';
const opened: AgentContextCache[] = [];
const errors: string[] = [];

async function open(options: OpenOptions): Promise<AgentContextCache> {
  const backOff = { initialMs: 5, maximumMs: 20, stalledAfter: 1_000 };
  const onError = (error: Error) => errors.push(error.message);
  const cache = await AgentContextCache.open({ backOff, onError, ...options });
  opened.push(cache);
  // The first attempt loads the client, which takes its time.
  await vi.waitFor(() => expect(cache.health().redis?.lastError).toBeDefined(), { timeout: 20_000 });
  return cache;
}

afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.shutdown({ timeoutMs: 100 });
  errors.length = 0;
});

describe('synced()', () => {
  it('names the follower that is late, with its checkpoint, the position and its last error', async () => {
    const cache = await open({ redisUrl: CLOSED });
    await cache.set('a', 1);
    await cache.set('b', 2);
    const error = await failureOf(() => cache.synced({ timeoutMs: 200 }));
    expect(error).toMatchObject({ code: 'TIMED_OUT' });
    expect(error.message).toMatch(/within 200 ms \(mirror is \w+ at position 0 of 2; last error: Redis at .*:1 cannot/);
    expect(error.message).not.toContain('backup');
  });

  it('names a follower without a connection that has nothing to deliver', async () => {
    const cache = await open({ redisUrl: CLOSED });
    const { message } = await failureOf(() => cache.synced({ timeoutMs: 100 }));
    expect(message).toMatch(/mirror is \w+ at position 0 of 0; last error/);
  });

  it('rejects with the reason of the signal', async () => {
    const cache = await open({ redisUrl: CLOSED });
    const reason = new Error('enough');
    expect(await failureOf(() => cache.synced({ signal: AbortSignal.abort(reason) }))).toBe(reason);
  });
});

describe('shutdown() with an unreachable Redis and no backup enabled', () => {
  it.each([['in memory'], ['with a data directory']])('names no snapshot, %s', async (where) => {
    const cache = await open({ redisUrl: CLOSED, ...(where === 'in memory' ? {} : { dataDir: await tempDir() }) });
    await cache.set('a', 1);
    const report = await cache.shutdown({ timeoutMs: 200 });
    expect(report.backupError).toBeUndefined();
    // The index may need more time than this on a slow machine.
    expect(report.undelivered.filter(({ follower }) => follower !== 'index')).toEqual([
      { follower: 'mirror', updates: 1, checkpoint: 0, position: 1, lastError: expect.stringContaining('Redis at') },
    ]);
    expect(errors.filter((message) => /snapshot|backup/i.test(message))).toEqual([]);
  });

  it('names no snapshot if commands use up the time', async () => {
    const primary = new LateCache();
    const cache = await open({ primaryCache: primary as never, redisUrl: CLOSED });
    await cache.set('a', 1);
    primary.before = () => new Promise(() => {});
    void cache.set('a', 2).catch(() => {});
    const report = await cache.shutdown({ timeoutMs: 50 });
    expect(report).toMatchObject({ unfinishedCommands: true, backupError: undefined });
    expect(report.undelivered.map(({ follower }) => follower)).not.toContain('backup');
  });

  it('still names a final snapshot that failed, if the backup is enabled', async () => {
    const cache = await open({ redisUrl: CLOSED, backup: { enabled: true, interval: 600 } });
    await cache.set('a', 1);
    const report = await cache.shutdown({ timeoutMs: 200 });
    expect(report.backupError).toBeInstanceOf(Error);
  });
});
