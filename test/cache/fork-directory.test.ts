import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { diff } from '../../src/index.ts';
import { LevelLog } from '../../src/storage/disk/log/level-log.ts';
import type { AdoptedNamespace } from '../../src/storage/disk/state/state-adoption.ts';
import { StateTable } from '../../src/storage/disk/state/state-table.ts';
import { codeOf, turns } from '../support/cache.ts';
import { open, stateOf } from '../support/durable.ts';
import { durableKinds } from '../support/fork.ts';
import { tempDir } from '../support/temp-dir.ts';

const sync = false;

describe.each(durableKinds)('a branch with a directory of its own, of a cache $kind', ({ dataDir }) => {
  const parent = async () => {
    const made = await open({ dataDir: await dataDir() });
    for (let i = 0; i < 30; i += 1) await made.cache.set(`k${i}`, { i }, ['n', 'm', '__proto__'][i % 3] as string);
    await made.cache.set('short', 1, 'n', { ttl: 100, agent: 'x' });
    await made.cache.set('gone', 1, 'gone');
    await made.cache.dropNamespace('gone');
    return made;
  };

  it('holds the whole state, outlives its parent, and is opened again like any other', async () => {
    const { cache, clock } = await parent();
    const place = join(await tempDir('own'), 'made', 'here');
    const before = stateOf(cache);
    const branch = await cache.fork({ dataDir: place, sync });
    expect(stateOf(branch)).toEqual(before);
    await cache.shutdown();
    await branch.set('k0', 'own', 'n');
    expect([branch.position, branch.health().log.durable]).toEqual([34, true]);
    const after = stateOf(branch);
    await branch.shutdown();
    const { cache: again } = await open({ dataDir: place, clock });
    expect(stateOf(again)).toEqual(after);
    expect(again.at(33).get('k0', 'n')).toEqual({ i: 0 });
    expect(await codeOf((async () => again.at(32))())).toBe('POSITION_UNAVAILABLE');
    clock.increment(100);
    await turns();
    expect(again.has('short', 'n')).toBe(false);
    expect(readdirSync(place)).toEqual(['db']);
  });

  it('begins with a moment of the past, with the very first one too', async () => {
    const { cache } = await parent();
    const some = await cache.fork({ at: 4, dataDir: await tempDir('some'), sync });
    const empty = await cache.fork({ at: 0, dataDir: await tempDir('empty'), sync });
    expect([some.position, some.listNamespaces(), some.listKeys('n').sort()]).toEqual([
      4,
      ['__proto__', 'default', 'm', 'n'],
      ['k0', 'k3'],
    ]);
    expect([empty.position, empty.listNamespaces()]).toEqual([0, ['default']]);
    await empty.set('a', 1, 'n');
    expect(await cache.merge(empty)).toMatchObject({ updates: 1, conflicts: [] });
    expect((await cache.diff(some, empty)).added.map(({ key }) => key)).toEqual(['a']);
  });

  it('is copied while its parent is written to, as it was when that began', async () => {
    const { cache } = await parent();
    for (let i = 0; i < 40; i += 1) void cache.set('k', i, `s${i}`);
    const before = cache.at(cache.position);
    const { adopt } = StateTable.prototype;
    const slowly = vi.spyOn(StateTable.prototype, 'adopt').mockImplementation(async function (
      this: StateTable,
      ...given
    ) {
      const taken: AdoptedNamespace[] = [];
      for await (const each of given[0]) {
        taken.push(each);
        // The last ones first: what has not been copied yet.
        void cache.set('k', 'later', `s${40 - taken.length}`);
        if (taken.length % 5 === 0) void cache.dropNamespace(`s${30 - taken.length}`);
        void cache.set('k', 'new', `new ${taken.length}`);
        if (taken.length % 10 === 0) await cache.synced();
      }
      return adopt.call(this, taken, given[1], given[2]);
    });
    const branch = await cache.fork({ dataDir: await tempDir('busy'), sync });
    slowly.mockRestore();
    expect(await diff(branch, before)).toEqual({ added: [], changed: [], removed: [] });
  });

  it('takes only a new or empty directory that nobody else fills', async () => {
    const { cache } = await parent();
    const place = await tempDir('used');
    const { cache: other } = await open({ dataDir: place });
    await other.set('a', 1);
    expect(await codeOf(cache.fork({ dataDir: place, sync }))).toBe('NOT_EMPTY');
    await other.shutdown();
    expect(await codeOf(cache.fork({ dataDir: place, sync }))).toBe('NOT_EMPTY');
    const filling = await tempDir('filling');
    const somebody = await LevelLog.open({ dataDir: join(filling, 'replaying'), sync });
    expect(await codeOf(cache.fork({ dataDir: filling, sync }))).toBe('DIRECTORY_LOCKED');
    await somebody.close();
    // What was left there by one that was killed is in nobody's way.
    const branch = await cache.fork({ dataDir: filling, sync });
    expect(stateOf(branch)).toEqual(stateOf(cache));
  });

  it('leaves nothing where it was not finished', async () => {
    const { cache } = await parent();
    const place = join(await tempDir('aborted'), 'never');
    const control = new AbortController();
    const forking = cache.fork({ dataDir: place, sync, signal: control.signal });
    setImmediate(() => control.abort(new Error('enough')));
    await expect(forking).rejects.toThrow('enough');
    expect(existsSync(place)).toBe(false);
    const already = { dataDir: place, signal: AbortSignal.abort(new Error('before')) };
    await expect(cache.fork(already)).rejects.toThrow('before');
    expect(existsSync(place)).toBe(false);
  });
});

describe('a directory of a branch', () => {
  it('has neither the topics nor the followers of the parent', async () => {
    const store = new MemorySnapshotStore();
    const { cache } = await open({ dataDir: await tempDir('topics'), topics: ['t'], backup: { store, enabled: true } });
    await cache.set('a', 1);
    const place = await tempDir('quiet');
    const branch = await cache.fork({ dataDir: place, sync });
    expect([branch.getTopicsList(), branch.isBackupEnabled()]).toEqual([[], false]);
    expect(branch.health().followers.map(({ name }) => name)).not.toContain('broadcaster');
    await branch.shutdown();
    const { cache: again } = await open({ dataDir: place });
    expect([again.getTopicsList(), again.isBackupEnabled()]).toEqual([[], false]);
  });
});
