import { describe, expect, it } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache, type ContextCacheError, InMemoryContextCache } from '../../src/index.ts';
import { codeOf, makeCache, outcomeNow, turns } from '../support/cache.ts';
import { freePort } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';

describe('shutdown', () => {
  it('returns the same result twice, refuses later commands and still answers reads', async () => {
    const { cache, failures } = makeCache();
    await cache.set('a', 1);
    const first = cache.shutdown();
    expect(cache.shutdown()).toBe(first);
    const late = cache.set('a', 2);
    expect(await first).toEqual({ undelivered: [], unfinishedCommands: false, backupError: undefined });
    expect(await codeOf(late)).toBe('CLOSED');
    for (const again of [
      cache.set('a', 3),
      cache.delete('a'),
      cache.batch([]),
      cache.update('a', () => 1),
      cache.getOrSet('b', () => 1),
      cache.ask({ type: 'context.clear' }),
      cache.dropNamespace('default'),
      cache.setMany({ a: 1 }),
    ])
      expect(await codeOf(again)).toBe('CLOSED');
    expect(cache.get('a')).toBe(1);
    expect(cache.health().status).toBe('closed');
    expect(failures.every(({ error }) => (error as ContextCacheError).code === 'CLOSED')).toBe(true);
    await cache.shutdown();
  });

  it('is done by disposal', async () => {
    const { cache } = makeCache();
    await cache[Symbol.asyncDispose]();
    expect(cache.health().status).toBe('closed');
  });

  it('delivers committed updates to subscribers before it ends', async () => {
    const { cache } = makeCache();
    const heard: (string | null)[] = [];
    cache.subscribe(({ key }) => heard.push(key));
    void cache.set('a', 1);
    await cache.shutdown();
    expect(heard).toEqual(['a']);
  });

  it('refuses control commands afterwards, so that nothing is restarted', async () => {
    const { cache } = makeCache();
    await cache.shutdown();
    expect(await codeOf(cache.setTopicsList(['a']))).toBe('CLOSED');
    expect(await codeOf(cache.addTopic('a'))).toBe('CLOSED');
    expect(await codeOf(cache.ask({ type: 'topics.add', topic: 'a' }))).toBe('CLOSED');
    expect(cache.health().followers.filter(({ name }) => name === 'broadcaster')).toEqual([]);
  });

  it('ends every watch, even one that starts afterwards', async () => {
    const { cache } = makeCache();
    const watch = cache.watch();
    await cache.set('a', 1);
    await cache.shutdown();
    const seen: unknown[] = [];
    for await (const update of watch) seen.push(update.key);
    expect(seen).toEqual(['a']);
    expect(await outcomeNow(cache.watch().next())).toEqual({ value: { done: true, value: undefined } });
  });

  it('settles a command that arrives while it closes the last parts', async () => {
    const { LateCache } = await import('../support/cache.ts');
    const primary = new LateCache();
    const { cache } = makeCache({ primaryCache: primary });
    let late: Promise<unknown> | undefined;
    Object.assign(primary, {
      close: () => {
        late = cache.set('a', 1);
      },
    });
    await cache.shutdown();
    expect(await outcomeNow(late as Promise<unknown>)).toMatchObject({ error: { code: 'CLOSED' } });
  });
});

it('reports a store and a primary that fail to close, and still releases the data directory', async () => {
  const dataDir = await tempDir('shutdown');
  const failures: string[] = [];
  const store = Object.assign(new MemorySnapshotStore(), { close: async () => Promise.reject(new Error('store')) });
  const primaryCache = Object.assign(new InMemoryContextCache(), {
    close: () => {
      throw new Error('primary');
    },
  });
  const cache = await AgentContextCache.open({
    dataDir,
    primaryCache,
    backup: { store },
    onError: (error, { source }) => void failures.push(`${source}: ${error.message}`),
  });
  await cache.set('a', 1);
  expect(await cache.shutdown()).toMatchObject({ undelivered: [], logError: undefined });
  expect(failures).toEqual(['backup: store', 'primary: primary']);
  const again = await AgentContextCache.open({ dataDir, natsUrl: null });
  expect(again.position).toBe(1);
  await again.shutdown();
});

it('does not wait for a snapshot, nor name one, with an unreachable Redis and backup disabled', async () => {
  const redisUrl = `redis://127.0.0.1:${await freePort()}`;
  const { cache } = makeCache({ redisUrl });
  const idle = await cache.shutdown();
  expect(idle).toEqual({ undelivered: [], unfinishedCommands: false, backupError: undefined, logError: undefined });

  const { cache: written, clock } = makeCache({ redisUrl });
  await written.set('a', 1);
  const ending = written.shutdown({ timeoutMs: 10 });
  // The commands end first, then the timeout.
  await turns();
  clock.increment(10);
  const report = await ending;
  expect(report).toMatchObject({ unfinishedCommands: false, backupError: undefined });
  expect(report.undelivered.map(({ follower }) => follower)).toEqual(['mirror']);
});
