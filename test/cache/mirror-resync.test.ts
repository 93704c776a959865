import { describe, expect, it, vi } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache } from '../../src/index.ts';
import { closing, foldValues, LateCache, logOf, makeCache, turns } from '../support/cache.ts';
import { backOff, catchUp, mirrored } from '../support/mirror.ts';

describe('a copy of the whole state to the mirror', () => {
  it('is made when the cache starts from a restored snapshot', async () => {
    const store = new MemorySnapshotStore();
    const first = makeCache({ backup: { store } });
    await first.cache.set('a', 1, 'n');
    await first.cache.set('b', 2, 'm');
    await first.cache.backup();
    const secondary = new LateCache();
    const cache = closing(await AgentContextCache.open({ restoreFrom: store, secondaryCache: secondary }));
    await cache.set('c', 3, 'n');
    await cache.synced();
    expect(secondary.content()).toEqual({ n: { a: 1, c: 3 }, m: { b: 2 } });
  });

  it('is made at one position, while writes continue, for a mirror that has lost its data', async () => {
    const made = mirrored();
    const { cache, secondary } = made;
    for (const namespace of ['n', 'm']) for (const key of ['a', 'b']) await cache.set(key, 1, namespace);
    Object.assign(secondary, { appliedPosition: async () => undefined });
    await catchUp(made);
    secondary.spaces.clear();
    let failed = false;
    secondary.before = (call) => {
      if (failed) cache.supervisor.send({ type: 'context.set', key: 'late', value: call, namespace: 'n' });
      if (failed) cache.supervisor.send({ type: 'context.delete', key: 'a', namespace: 'm' });
      if (failed) secondary.before = () => {};
      else {
        failed = true;
        throw new Error('emptied');
      }
    };
    await cache.set('c', 1, 'm');
    await catchUp(made);
    expect(secondary.content()).toEqual({ n: { a: 1, b: 1, late: cache.get('late', 'n') }, m: { b: 1, c: 1 } });
  });

  it('is made from an asynchronous primary too, while commands are in flight', async () => {
    const primary = new LateCache();
    const secondary = new LateCache();
    const { cache, clock } = makeCache({ primaryCache: primary, secondaryCache: secondary, backOff });
    await cache.set('a', 1, 'first');
    await cache.set('a', 1, 'n');
    await cache.synced();
    secondary.spaces.clear();
    Object.assign(secondary, { appliedPosition: async () => undefined });
    let release: () => void = () => {};
    primary.before = (call) =>
      call === 'set n b'
        ? new Promise<void>((resolve) => {
            release = resolve;
          })
        : undefined;
    const done = cache.set('b', 2, 'n');
    let failing = true;
    secondary.before = () => {
      if (failing) throw new Error('emptied');
    };
    await cache.set('x', 1, 'first');
    await turns(10);
    failing = false;
    const listKeys = secondary.listKeys.bind(secondary);
    vi.spyOn(secondary, 'listKeys').mockImplementation(async (namespace) => {
      release();
      await done;
      return listKeys(namespace);
    });
    await catchUp({ cache: cache as never, clock });
    expect(secondary.content()).toEqual({ first: { a: 1, x: 1 }, n: { a: 1, b: 2 } });
  });

  it('equals the fold of the log', async () => {
    const made = mirrored();
    const { cache, clock, secondary } = made;
    await cache.set('a', 1, 'n', { ttl: 20 });
    await cache.set('b', 1, 'n');
    clock.increment(20);
    await catchUp(made);
    expect(secondary.content()).toEqual(foldValues(await logOf(cache)));
    expect(secondary.content()).toEqual({ n: { b: 1 } });
  });
});
