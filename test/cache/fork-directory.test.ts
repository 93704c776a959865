import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { diff } from '../../src/index.ts';
import { DataDirectory } from '../../src/storage/disk/data-directory.ts';
import { DiskLog } from '../../src/storage/disk/log/disk-log.ts';
import type { BaseNamespace } from '../../src/storage/disk/log/logged-update.ts';
import { codeOf, turns } from '../support/cache.ts';
import { open, stateOf } from '../support/durable.ts';
import { durableKinds } from '../support/fork.ts';
import { tempDir } from '../support/temp-dir.ts';

const sync = false;

describe.each(durableKinds)('a branch in its own directory, of a cache $kind', ({ dataDir }) => {
  const parent = async () => {
    const made = await open({ dataDir: await dataDir() });
    for (let i = 0; i < 30; i += 1) await made.cache.set(`k${i}`, { i }, ['n', 'm', '__proto__'][i % 3] as string);
    await made.cache.set('short', 1, 'n', { ttl: 100, agent: 'x' });
    await made.cache.set('gone', 1, 'gone');
    await made.cache.dropNamespace('gone');
    return made;
  };

  it('holds the whole state, outlives its parent and can be reopened like any cache', async () => {
    const { cache, clock } = await parent();
    const directory = join(await tempDir('own'), 'made', 'here');
    const before = stateOf(cache);
    const branch = await cache.fork({ dataDir: directory, sync });
    expect(stateOf(branch)).toEqual(before);
    await cache.shutdown();
    await branch.set('k0', 'own', 'n');
    expect([branch.position, branch.health().log.durable]).toEqual([34, true]);
    const after = stateOf(branch);
    await branch.shutdown();
    const { cache: again } = await open({ dataDir: directory, clock });
    expect(stateOf(again)).toEqual(after);
    expect(again.at(33).get('k0', 'n')).toEqual({ i: 0 });
    expect(await codeOf((async () => again.at(32))())).toBe('POSITION_UNAVAILABLE');
    clock.increment(100);
    await turns();
    expect(again.has('short', 'n')).toBe(false);
    expect(readdirSync(directory)).toEqual(['db']);
  });

  it('starts from any past position, the first included', async () => {
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

  it('is copied at the position of the fork while its parent takes writes', async () => {
    const { cache } = await parent();
    for (let i = 0; i < 40; i += 1) void cache.set('k', i, `s${i}`);
    const before = cache.at(cache.position);
    const { adopt } = DataDirectory.prototype;
    const slowly = vi.spyOn(DataDirectory.prototype, 'adopt').mockImplementation(async function (
      this: DataDirectory,
      ...given
    ) {
      const taken: BaseNamespace[] = [];
      for await (const each of given[0]) {
        taken.push(each);
        // Starts with the last namespaces, which have not been copied yet.
        void cache.set('k', 'later', `s${40 - taken.length}`);
        if (taken.length % 5 === 0) void cache.dropNamespace(`s${30 - taken.length}`);
        void cache.set('k', 'new', `new ${taken.length}`);
        if (taken.length % 10 === 0) await cache.synced();
      }
      return adopt.call(this, taken, given[1]);
    });
    const branch = await cache.fork({ dataDir: await tempDir('busy'), sync });
    slowly.mockRestore();
    expect(await diff(branch, before)).toEqual({ added: [], changed: [], removed: [] });
  });

  it('accepts only a new or empty directory that no other process fills', async () => {
    const { cache } = await parent();
    const directory = await tempDir('used');
    const { cache: other } = await open({ dataDir: directory });
    await other.set('a', 1);
    expect(await codeOf(cache.fork({ dataDir: directory, sync }))).toBe('NOT_EMPTY');
    await other.shutdown();
    expect(await codeOf(cache.fork({ dataDir: directory, sync }))).toBe('NOT_EMPTY');
    const filling = await tempDir('filling');
    const filler = await DiskLog.open({ dataDir: join(filling, 'replaying'), sync });
    expect(await codeOf(cache.fork({ dataDir: filling, sync }))).toBe('DIRECTORY_LOCKED');
    await filler.close();
    // The remains of a killed process do not get in the way.
    const branch = await cache.fork({ dataDir: filling, sync });
    expect(stateOf(branch)).toEqual(stateOf(cache));
  });

  it('leaves no directory if it is aborted', async () => {
    const { cache } = await parent();
    const directory = join(await tempDir('aborted'), 'never');
    const control = new AbortController();
    const forking = cache.fork({ dataDir: directory, sync, signal: control.signal });
    setImmediate(() => control.abort(new Error('enough')));
    await expect(forking).rejects.toThrow('enough');
    expect(existsSync(directory)).toBe(false);
    const already = { dataDir: directory, signal: AbortSignal.abort(new Error('before')) };
    await expect(cache.fork(already)).rejects.toThrow('before');
    expect(existsSync(directory)).toBe(false);
  });
});

describe('the directory of a branch', () => {
  it('has neither topics nor followers of the parent', async () => {
    const store = new MemorySnapshotStore();
    const { cache } = await open({ dataDir: await tempDir('topics'), topics: ['t'], backup: { store, enabled: true } });
    await cache.set('a', 1);
    const directory = await tempDir('quiet');
    const branch = await cache.fork({ dataDir: directory, sync });
    expect([branch.getTopicsList(), branch.isBackupEnabled()]).toEqual([[], false]);
    expect(branch.health().followers.map(({ name }) => name)).not.toContain('broadcaster');
    await branch.shutdown();
    const { cache: again } = await open({ dataDir: directory });
    expect([again.getTopicsList(), again.isBackupEnabled()]).toEqual([[], false]);
  });
});
