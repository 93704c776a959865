import { afterEach, describe, expect, it, vi } from 'vitest';
import { apply } from '../../src/core/apply.ts';
import { MemorySnapshotStore } from '../../src/followers/backup/memory-snapshot-store.ts';
import {
  AgentContextCache,
  type CacheOptions,
  ContextCacheError,
  InMemoryContextCache,
  type Update,
} from '../../src/index.ts';
import { MemoryLog } from '../../src/storage/memory/memory-log.ts';
import {
  closing,
  codeOf,
  historyOf,
  LateCache,
  logOf,
  makeCache,
  makeCacheOn,
  outcomeNow,
  turns,
} from '../support/cache.ts';

afterEach(() => void vi.restoreAllMocks());

/** Returns a fold that throws for one key as long as `broken` is true. */
function fragile(key: string | null, operation: Update['operation'] = 'set') {
  const control = { broken: true, calls: 0 };
  const fold: typeof apply = (state, update) => {
    if (control.broken && update.key === key && update.operation === operation) {
      control.calls += 1;
      throw new Error('the fold is broken');
    }
    apply(state, update);
  };
  return { control, internals: { apply: fold } };
}

const restart: CacheOptions['restart'] = { intensity: 2, periodMs: 1_000, backOffMs: 10 };

describe('a namespace that crashes', () => {
  it('rejects the command and restarts from the log with the same state, without an effect on other namespaces', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock, failures } = makeCache({ internals, restart });
    await cache.set('a', { x: 1 }, 'n', { ttl: 500, agent: 'x' });
    await cache.set('b', 2, 'n');
    await cache.set('a', 1, 'sibling');
    const before = cache.entries('n');
    const sibling = cache.entries('sibling');
    const error = await cache.set('bad', 3, 'n').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'NAMESPACE_UNAVAILABLE', cause: { message: 'the fold is broken' } });
    expect(cache.entries('n')).toEqual(before);
    // Commands to the crashed namespace wait; those to the others do not.
    const held = [cache.set('c', 1, 'n'), cache.delete('b', 'n'), cache.set('c', 2, 'n')];
    expect(await outcomeNow(held[0] as Promise<unknown>)).toBe('pending');
    expect(await cache.set('b', 2, 'sibling')).toMatchObject({ version: 2 });
    control.broken = false;
    clock.increment(0);
    // The log took the update before the fold threw, so it counts.
    expect(await Promise.all(held)).toMatchObject([{ version: 4 }, { version: 5 }, { version: 6 }]);
    expect(cache.entries('n').map(({ key, version }) => [key, version])).toEqual([
      ['a', 1],
      ['bad', 3],
      ['c', 6],
    ]);
    expect(cache.entry('a', 'n')).toEqual(before[0]);
    expect(cache.entries('sibling').slice(0, 1)).toEqual(sibling);
    expect((await logOf(cache)).filter(({ namespace }) => namespace === 'n').map(({ version }) => version)).toEqual([
      1, 2, 3, 4, 5, 6,
    ]);
    expect(cache.health()).toMatchObject({ status: 'ok', namespaces: { restarts: 1, failed: [] } });
    expect(failures.map(({ source }) => source.source)).toContain('namespace');
    clock.increment(500);
    expect(cache.has('a', 'n')).toBe(false);
  });

  it('restarts with the whole batch of the log after a crash in the middle of it', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart });
    const batch = cache.batch(
      [
        { operation: 'set', key: 'a', value: 1 },
        { operation: 'set', key: 'bad', value: 2 },
        { operation: 'set', key: 'c', value: 3 },
      ],
      'n',
    );
    expect(await codeOf(batch)).toBe('NAMESPACE_UNAVAILABLE');
    control.broken = false;
    clock.increment(0);
    await turns();
    expect(cache.getMany(['a', 'bad', 'c'], 'n')).toEqual([1, 2, 3]);
    expect(await cache.set('d', 4, 'n')).toMatchObject({ version: 4 });
  });

  it('is given up after too many crashes, reports it, and returns on a restart command', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock, failures } = makeCache({ internals, restart });
    await cache.set('a', 1, 'n');
    for (const wait of [0, 10]) {
      expect(await codeOf(cache.set('bad', 1, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
      clock.increment(wait);
      await turns();
      expect(cache.health().namespaces.failed).toEqual([]);
      expect(await cache.set('a', wait, 'n')).toMatchObject({ changed: true });
    }
    expect(cache.health().namespaces.restarts).toBe(2);
    expect(await codeOf(cache.set('bad', 1, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
    clock.increment(100_000);
    await turns();
    expect(cache.health()).toMatchObject({ status: 'degraded', namespaces: { failed: ['n'] } });
    expect(await codeOf(cache.set('a', 5, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
    expect(failures.at(-1)?.error.message).toContain('given up');
    // Reads and the other namespaces continue.
    expect(cache.get('a', 'n')).toBe(10);
    expect(await cache.set('a', 1, 'sibling')).toMatchObject({ version: 1 });
    control.broken = false;
    await cache.ask({ type: 'namespace.restart', namespace: 'n' });
    expect(cache.health()).toMatchObject({ status: 'ok', namespaces: { failed: [] } });
    expect(await cache.set('a', 6, 'n')).toMatchObject({ changed: true });
    const versions = (await logOf(cache)).filter(({ namespace }) => namespace === 'n').map(({ version }) => version);
    expect(versions).toEqual(versions.map((_version, index) => index + 1));
    expect(cache.entry('a', 'n')?.version).toBe(versions.length);
  });

  it('does not count crashes older than the period', async () => {
    const { internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart });
    for (let i = 0; i < 6; i += 1) {
      expect(await codeOf(cache.set('bad', 1, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
      clock.increment(1_000);
      await turns();
    }
    expect(cache.health().namespaces).toMatchObject({ failed: [], restarts: 6 });
  });

  it('stays dropped if the drop crashes it, and the waiting commands create it again', async () => {
    const { control, internals } = fragile(null, 'clear_namespace');
    const { cache, clock } = makeCache({ internals, restart });
    await cache.set('a', 1, 'n');
    await cache.set('a', 1, 'm');
    expect(await codeOf(cache.dropNamespace('n'))).toBe('NAMESPACE_UNAVAILABLE');
    expect(await codeOf(cache.dropNamespace('m'))).toBe('NAMESPACE_UNAVAILABLE');
    control.broken = false;
    const held = cache.set('b', 2, 'n');
    clock.increment(0);
    expect(await held).toMatchObject({ version: 3, changed: true });
    expect(cache.listNamespaces()).toEqual(['default', 'n']);
    expect(cache.listKeys('n')).toEqual(['b']);
    expect(await cache.set('b', 2, 'm')).toMatchObject({ version: 3 });
  });

  it('restarts with its write if the log holds only the end of its earlier life', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart });
    await cache.set('a', 1, 'n');
    await cache.set('a', 2, 'n');
    await cache.compact({ keepUpdates: 1 });
    await cache.dropNamespace('n');
    expect(await codeOf(cache.set('bad', 3, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
    control.broken = false;
    clock.increment(0);
    await turns();
    expect(cache.health().namespaces.failed).toEqual([]);
    expect(cache.listNamespaces()).toEqual(['default', 'n']);
    expect(cache.entries('n')).toMatchObject([{ key: 'bad', value: 3, version: 4 }]);
  });

  it('restarts with its write if the log has released it meanwhile', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart, log: { capacityUpdates: 2 } });
    await cache.set('a', 1, 'n');
    expect(await codeOf(cache.set('bad', 2, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
    for (let i = 0; i < 3; i += 1) await cache.set('a', i, 'sibling');
    control.broken = false;
    clock.increment(0);
    await turns();
    expect(cache.entries('n').map(({ key, version }) => [key, version])).toEqual([
      ['a', 1],
      ['bad', 2],
    ]);
    expect(await cache.set('c', 3, 'n')).toMatchObject({ version: 3 });
  });

  it('is in a snapshot with the write that it crashed at', async () => {
    const { internals } = fragile('bad');
    const store = Object.assign(new MemorySnapshotStore(), { close: async () => {} });
    const { cache } = makeCache({ internals, restart, backup: { store } });
    await cache.set('a', 1, 'n');
    expect(await codeOf(cache.set('bad', 2, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
    const { position } = await cache.backup();
    const restored = closing(await AgentContextCache.open({ natsUrl: null, restoreFrom: store }));
    expect([position, restored.position]).toEqual([2, 2]);
    expect(restored.entries('n').map(({ key, version }) => [key, version])).toEqual([
      ['a', 1],
      ['bad', 2],
    ]);
  });

  it('refuses commands beyond the limit of waiting ones', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart, maxWaiting: 2 });
    await codeOf(cache.set('bad', 1, 'n'));
    const held = [1, 2, 3].map((value) => cache.set('a', value, 'n'));
    expect(await codeOf(held[2] as Promise<unknown>)).toBe('OVERLOADED');
    control.broken = false;
    clock.increment(0);
    expect(await Promise.all(held.slice(0, 2))).toMatchObject([{ changed: true }, { changed: true }]);
    expect(cache.get('a', 'n')).toBe(2);
  });

  it('rejects the waiting commands when the cache is shut down', async () => {
    const { internals } = fragile('bad');
    const { cache } = makeCache({ internals, restart });
    await codeOf(cache.set('bad', 1, 'n'));
    const held = cache.set('a', 1, 'n');
    await cache.shutdown({ timeoutMs: 1_000 });
    expect(await outcomeNow(held)).toMatchObject({ error: { code: 'CLOSED' } });
  });

  it('restarts once if a restart command arrives while its restart is scheduled', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart });
    await codeOf(cache.set('bad', 1, 'n'));
    control.broken = false;
    await cache.ask({ type: 'namespace.restart', namespace: 'n' });
    await cache.set('a', 1, 'n');
    clock.increment(1_000);
    await turns();
    expect(cache.health().namespaces.restarts).toBe(1);
    expect(await cache.set('a', 2, 'n')).toMatchObject({ version: 3 });
  });

  it('restarts after a crash during an expiry, which the log then has once', async () => {
    const { control, internals } = fragile('a', 'expire');
    const { cache, clock } = makeCache({ internals, restart });
    await cache.set('a', 1, 'n', { ttl: 5 });
    const set = (() => {
      vi.spyOn(clock, 'now').mockImplementation(() => 1_000_010);
      return codeOf(cache.set('b', 1, 'n'));
    })();
    expect(await set).toBe('NAMESPACE_UNAVAILABLE');
    vi.restoreAllMocks();
    control.broken = false;
    clock.increment(20);
    await turns();
    expect(await cache.set('b', 2, 'n')).toMatchObject({ changed: true });
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 expire a', 'n 3 set b']);
  });

  it('settles the command and the waiting ones over an asynchronous primary', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart, primaryCache: new LateCache() });
    await cache.set('a', 1, 'n');
    const bad = cache.set('bad', 1, 'n');
    const next = cache.set('b', 1, 'n');
    await turns(10);
    control.broken = false;
    clock.increment(0);
    await turns(10);
    expect(await outcomeNow(bad)).toMatchObject({ error: { code: 'NAMESPACE_UNAVAILABLE' } });
    expect(await outcomeNow(next)).not.toBe('pending');
  });
});

describe('a log that refuses updates', () => {
  it('rejects the command, changes nothing, and the namespace continues when the log does', async () => {
    const { cache, clock, log } = cacheOnFailingLog();
    await cache.set('a', 1, 'n', { ttl: 50 });
    log.refuses = true;
    expect(await codeOf(cache.set('a', 2, 'n'))).toBe('LOG_UNAVAILABLE');
    expect(cache.get('a', 'n')).toBe(1);
    log.refuses = false;
    expect(await cache.set('a', 3, 'n', { ttl: 50 })).toMatchObject({ version: 2 });
    // Expiries wait for the log as well, and do not count as crashes.
    log.refuses = true;
    for (let i = 0; i < 20; i += 1) {
      clock.increment(1_000);
      await turns(2);
    }
    expect(cache.has('a', 'n')).toBe(false);
    expect(cache.health().namespaces).toMatchObject({ failed: [], restarts: 0 });
    log.refuses = false;
    expect(await cache.set('b', 1, 'n')).toMatchObject({ version: 4 });
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 set a', 'n 3 expire a', 'n 4 set b']);
  });
});

describe('a log that cannot be read when a namespace must restart', () => {
  it('rejects the waiting commands, and the namespace restarts when the log can be read', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock, log } = cacheOnFailingLog({ internals, restart });
    await cache.set('a', 1, 'n');
    await codeOf(cache.set('bad', 1, 'n'));
    control.broken = false;
    log.refuses = true;
    const held = cache.set('a', 2, 'n');
    clock.increment(0);
    expect(await codeOf(held)).toBe('LOG_UNAVAILABLE');
    clock.increment(60_000);
    await turns();
    expect(cache.health().namespaces.failed).toEqual([]);
    log.refuses = false;
    clock.increment(60_000);
    await turns();
    expect(await cache.set('a', 3, 'n')).toMatchObject({ version: 3 });
    expect(cache.health()).toMatchObject({ status: 'ok', namespaces: { restarts: 1 } });
  });
});

describe('a log that refuses updates, with a primary', () => {
  // Without the check of the log before the write, the primary would keep a value whose command was rejected with
  // LOG_UNAVAILABLE, and readers would see it.
  it('leaves the primary unchanged', async () => {
    const log = new FailingLog();
    const { cache } = makeCacheOn(log, { primaryCache: new InMemoryContextCache() });
    await cache.set('a', 1, 'n');
    log.refuses = true;
    expect(await codeOf(cache.set('a', 2, 'n'))).toBe('LOG_UNAVAILABLE');
    expect(cache.get('a', 'n')).toBe(1);
  });
});

class FailingLog extends MemoryLog {
  refuses = false;

  override append(updates: Parameters<MemoryLog['append']>[0]): void {
    if (this.refuses) throw diskFull();
    super.append(updates);
  }

  override flush(): Promise<void> {
    return this.refuses ? Promise.reject(diskFull()) : super.flush();
  }
}

function diskFull(): ContextCacheError {
  return new ContextCacheError('LOG_UNAVAILABLE', 'The disk is full.');
}

function cacheOnFailingLog(options: CacheOptions = {}) {
  const log = new FailingLog();
  const made = makeCacheOn(log, options);
  return { ...made, log };
}
