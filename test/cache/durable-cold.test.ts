import { afterEach, describe, expect, it, vi } from 'vitest';
import { DirectorySnapshotStore, MemorySnapshotStore } from '../../src/backup.ts';
import {
  AgentContextCache,
  type ContextCacheError,
  type InMemoryContextCache,
  type OpenOptions,
} from '../../src/index.ts';
import { codeOf, historyOf, LateCache, logOf, START } from '../support/cache.ts';
import { open, stateOf } from '../support/durable.ts';
import { tempDir } from '../support/temp-dir.ts';

afterEach(() => void vi.restoreAllMocks());

describe('passivation', () => {
  it('removes a namespace from memory by command; writes hydrate it with the right version, reads do not', async () => {
    const { cache, clock } = await open({ dataDir: await tempDir('durable') });
    await cache.set('a', { x: 1 }, 'n', { agent: 'x', ttl: 5_000_000 });
    await cache.set('b', 2, 'n');
    const before = cache.entries('n');
    const passivated = cache.ask({ type: 'namespace.passivate', namespace: 'n' });
    await vi.waitFor(
      () => {
        clock.increment(500);
        expect(cache.health().namespaces.resident).toBe(0);
      },
      { timeout: 30_000 },
    );
    expect(await passivated).toBe(true);
    // Independent of the disk's speed: the wait above moves the clock while the disk works.
    expect(clock.now()).toBeLessThan(START + 5_000_000);
    expect(cache.get('a', 'n')).toEqual({ x: 1 });
    expect(cache.entry('a', 'n')).toEqual(before[0]);
    expect(cache.entries('n')).toEqual(before);
    expect(cache.listKeys('n').sort()).toEqual(['a', 'b']);
    expect(cache.has('none', 'n')).toBe(false);
    expect(cache.listNamespaces()).toEqual(['default', 'n']);
    expect(cache.health().namespaces).toMatchObject({ resident: 0, total: 1 });
    const watch = cache.watch({ namespace: 'n', include: 'snapshot' });
    expect((await watch.next()).value).toMatchObject({ snapshot: true, key: expect.stringMatching(/a|b/) });
    await watch.return?.();
    expect(await codeOf(cache.set('a', 1, 'n', { ifVersion: 2 }))).toBe('VERSION_CONFLICT');
    expect(await cache.set('b', 3, 'n', { ifVersion: 2 })).toMatchObject({ version: 3 });
    expect(cache.health().namespaces.resident).toBe(1);
    expect(await cache.ask({ type: 'namespace.passivate', namespace: 'none' })).toBe(false);
  });

  it('still expires the entries of a passivated namespace', async () => {
    const { cache, clock } = await open({ dataDir: await tempDir('durable') });
    await cache.set('a', 1, 'n', { ttl: 5_000_000 });
    void cache.ask({ type: 'namespace.passivate', namespace: 'n' });
    await vi.waitFor(
      () => {
        clock.increment(500);
        expect(cache.health().namespaces.resident).toBe(0);
      },
      { timeout: 30_000 },
    );
    clock.increment(5_000_000);
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 expire a']);
  });

  it('keeps at most maxResidentNamespaces in memory and loses nothing', async () => {
    const { cache, clock } = await open({ dataDir: await tempDir('durable'), maxResidentNamespaces: 5 });
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < 40; i += 1) {
        expect(await cache.set('a', round * 100 + i, `n${i}`)).toMatchObject({ version: round + 1 });
        clock.increment(100);
      }
    }
    await vi.waitFor(
      async () => {
        clock.increment(500);
        await cache.set('a', 1, `more${clock.now()}`);
        expect(cache.health().namespaces.resident).toBeLessThanOrEqual(8);
      },
      { timeout: 30_000 },
    );
    for (let i = 0; i < 40; i += 1) expect(cache.entry('a', `n${i}`)).toMatchObject({ value: 200 + i, version: 3 });
  });

  it('passivates idle namespaces after passivateAfterMs and leaves no timer when none is in memory', async () => {
    const { cache, clock } = await open({ dataDir: await tempDir('durable'), passivateAfterMs: 10_000 });
    await cache.set('a', 1, 'n');
    await vi.waitFor(
      () => {
        clock.increment(2_500);
        expect(cache.health().namespaces.resident).toBe(0);
      },
      { timeout: 30_000 },
    );
    expect(cache.get('a', 'n')).toBe(1);
    expect(await cache.set('a', 2, 'n')).toMatchObject({ version: 2 });
  });
});

describe('a restored snapshot', () => {
  const filled = async (options: OpenOptions<InMemoryContextCache>) => {
    const made = await open(options);
    for (const step of [
      { type: 'context.set', namespace: 'n', key: 'a', value: { __proto__: null, x: [1] }, agent: 'x', ttl: 10_000 },
      { type: 'context.set', namespace: 'n', key: 'b', value: null },
      { type: 'context.set', namespace: 'm', key: 'a', value: 1 },
      { type: 'context.clear', namespace: 'm' },
      { type: 'context.set', namespace: '__proto__', key: 'c:d', value: 'x' },
      { type: 'context.set', namespace: 'a:b', key: 'a', value: 1 },
      { type: 'context.drop', namespace: 'a:b' },
    ] as const)
      await made.cache.ask(step);
    await made.cache.backup();
    return made;
  };

  it.each([
    ['memory', 'memory'],
    ['memory', 'a directory'],
    ['a directory', 'memory'],
    ['a directory', 'a directory'],
  ])('in %s restores the same entries, versions and position in %s', async (from, to) => {
    const store =
      from === 'memory' ? new MemorySnapshotStore() : new DirectorySnapshotStore(await tempDir('snapshots'));
    const { cache: first, clock } = await filled({ backup: { store } });
    const before = stateOf(first);
    const dataDir = to === 'memory' ? undefined : await tempDir('durable');
    const { cache } = await open({ restoreFrom: store, dataDir, clock });
    expect(stateOf(cache)).toEqual(before);
    expect(cache.entry('a', 'n')?.expiresAt).not.toBeNull();
    expect(await logOf(cache)).toEqual([]);
    expect(await cache.set('next', 1, 'n')).toEqual({ version: 3, position: before.position + 1, changed: true });
    expect(await cache.set('next', 1, 'm')).toMatchObject({ version: 3 });
    expect(await cache.set('next', 1, 'a:b')).toMatchObject({ version: 3 });
    expect(await codeOf(cache.set('b', 1, 'n', { ifVersion: 1 }))).toBe('VERSION_CONFLICT');
    clock.increment(10_000);
    expect(cache.has('a', 'n')).toBe(false);
    if (dataDir === undefined) return;
    await cache.flush();
    const after = stateOf(cache);
    await cache.shutdown();
    const again = await open({ dataDir, clock });
    expect(stateOf(again.cache)).toEqual(after);
    await again.cache.shutdown();
    expect(await codeOf(AgentContextCache.open({ dataDir, restoreFrom: store }))).toBe('NOT_EMPTY');
  });

  it('can be restored by the path of its directory', async () => {
    const directory = await tempDir('snapshots');
    await filled({ backup: { store: new DirectorySnapshotStore(directory) } });
    const { cache } = await open({ restoreFrom: directory });
    expect(cache.get('b', 'n')).toBeNull();
    const empty = await AgentContextCache.open({ restoreFrom: await tempDir('snapshots') }).catch(
      (error: ContextCacheError) => error,
    );
    expect(empty).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('of a data directory is stored in that directory by default', async () => {
    const dataDir = await tempDir('durable');
    const { cache: first } = await filled({ dataDir });
    const before = stateOf(first);
    await first.shutdown();
    const { cache } = await open({ restoreFrom: `${dataDir}/backups` });
    expect(stateOf(cache)).toEqual(before);
  });

  it('contains the values of an asynchronous primary', async () => {
    const store = new MemorySnapshotStore();
    const first = await open({ primaryCache: new LateCache(), backup: { store } });
    await first.cache.set('a', { x: 1 }, 'n', { agent: 'x' });
    await first.cache.backup();
    const { cache } = await open({ restoreFrom: store });
    expect(cache.entry('a', 'n')).toMatchObject({ value: { x: 1 }, version: 1, agent: 'x' });
  });
});
