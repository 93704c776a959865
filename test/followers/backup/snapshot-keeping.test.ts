import { describe, expect, test } from 'vitest';
import { BackupLoader } from '../../../src/followers/backup/backup-loader.ts';
import { BackupManager } from '../../../src/followers/backup/backup-manager.ts';
import { compress } from '../../../src/followers/backup/snapshot-transform.ts';
import { change, contentsOf, flipByte, setUp, World } from '../../support/backup.ts';

describe('incremental', () => {
  test('only what has changed is written again', async () => {
    const { world, store, manager, loader } = setUp();
    for (let index = 0; index < 10; index += 1) world.set(`n${index}`, 'k', index);
    await manager.backup(world.capture());
    expect(store.takePuts()).toHaveLength(11);
    world.set('n3', 'k', 'new');
    world.clear('n4');
    const second = await manager.backup(world.capture());
    expect(second.written).toMatchObject({ namespaces: 2, parts: 1 });
    expect(store.takePuts()).toHaveLength(2);
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('another manager goes on where the last one ended', async () => {
    const { world, store, manager, loader } = setUp();
    for (let index = 0; index < 10; index += 1) world.set(`n${index}`, 'k', index);
    await manager.backup(world.capture());
    store.takePuts();
    world.set('n3', 'k', 'new');
    await new BackupManager({ store }).backup(world.capture());
    expect(store.takePuts()).toHaveLength(2);
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('nothing is written where nothing has changed; the stored one is returned', async () => {
    const { world, store, manager } = setUp();
    world.set('a', 'k', 1);
    const { written: _, ...first } = await manager.backup(world.capture());
    store.takePuts();
    expect(await manager.backup(world.capture())).toEqual({ ...first, written: { namespaces: 0, parts: 0, bytes: 0 } });
    expect(await new BackupManager({ store }).backup(world.capture())).toMatchObject(first);
    expect(store.takePuts()).toEqual([]);
    expect(world.open).toBe(0);
  });

  test('a part that is gone is written again', async () => {
    const { world, store, manager, loader } = setUp();
    world.set('a', 'k', 1);
    world.set('b', 'k', 2);
    await manager.backup(world.capture());
    await store.remove((await store.list('part-')).slice(0, 1));
    const again = await manager.backup(world.capture());
    expect(again.written.parts).toBe(1);
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('the first backup of a process finds a damaged part and writes it again', async () => {
    const { world, store, manager, loader } = setUp();
    world.set('a', 'k', 1);
    world.set('b', 'k', 2);
    await manager.backup(world.capture());
    const [part = ''] = await store.list('part-');
    await change(store, part, flipByte);
    world.set('c', 'k', 3);
    await new BackupManager({ store }).backup(world.capture());
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('a full backup writes everything again', async () => {
    const { world, store, manager } = setUp();
    world.set('a', 'k', 1);
    world.set('b', 'k', 2);
    await manager.backup(world.capture());
    store.takePuts();
    await manager.backup(world.capture(), { full: true });
    expect(store.takePuts()).toHaveLength(3);
  });

  test('a namespace that was dropped and made anew is written, though its version is the same again', async () => {
    const { world, manager, loader } = setUp();
    world.set('a', 'k', 'old');
    world.set('b', 'k', 1);
    await manager.backup(world.capture());
    world.states.delete('a');
    world.set('a', 'k', 'new');
    expect(world.state('a').version).toBe(1);
    await manager.backup(world.capture());
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('equal versions and positions of another log mean nothing', async () => {
    const { manager, world, loader } = setUp();
    world.set('a', 'k', 'old');
    await manager.backup(world.capture());
    const other = new World();
    other.log = 'log-2';
    other.set('a', 'k', 'new');
    await manager.backup(other.capture());
    expect(await contentsOf(await loader.newest())).toEqual(other.contents());
  });

  test('after a change of transforms nothing is mixed, and old and new can be read', async () => {
    const { world, store, manager } = setUp();
    world.set('a', 'k', 'x'.repeat(5_000));
    const plain = await manager.backup(world.capture());
    world.at += 1;
    const small = await new BackupManager({ store, transforms: [compress()] }).backup(world.capture());
    expect(small.bytes).toBeLessThan(plain.bytes / 10);
    const loader = new BackupLoader({ store });
    for (const { id } of [plain, small]) expect(await contentsOf(await loader.load(id))).toEqual(world.contents());
  });
});

describe('listing and pruning', () => {
  test('snapshots are listed newest first', async () => {
    const { world, manager } = setUp();
    for (let index = 1; index <= 3; index += 1) {
      world.set('a', `k${index}`, 'v');
      world.set('b', 'same', 'v');
      world.at += 1_000;
      await manager.backup(world.capture());
    }
    const list = await manager.list();
    expect(
      list.map(({ position, at, entries, namespaces, whole, log }) => [position, at, entries, namespaces, whole, log]),
    ).toEqual([
      [6, 4_000, 4, 2, true, 'log-1'],
      [4, 3_000, 3, 2, true, 'log-1'],
      [2, 2_000, 2, 2, true, 'log-1'],
    ]);
    expect(list.map(({ id }) => id)).toEqual(
      list
        .map(({ id }) => id)
        .sort()
        .reverse(),
    );
  });

  test('the last one written is the newest, though the clock was put back and another log has begun at 0', async () => {
    const { world, manager, loader } = setUp({ settings: { keep: 2 } });
    for (let index = 0; index < 50; index += 1) world.set('a', `k${index}`, index);
    await manager.backup(world.capture());
    world.set('a', 'k', 'later');
    await manager.backup(world.capture());
    const fresh = new World();
    fresh.log = 'log-2';
    fresh.at = 10;
    for (const value of [1, 2, 3]) {
      fresh.set('a', 'k', value);
      await manager.backup(fresh.capture());
      const newest = await loader.newest();
      expect(newest?.info).toMatchObject({ log: 'log-2', position: value, at: 10 });
      expect(await contentsOf(newest)).toEqual(fresh.contents());
    }
    expect(await manager.list()).toHaveLength(2);
  });

  test('keep snapshots stay, whole, and nothing that none of them needs', async () => {
    const { world, store, manager, loader } = setUp({ settings: { keep: 3 } });
    world.set('constant', 'k', 'always');
    const past: [string, ReturnType<World['contents']>][] = [];
    for (let index = 0; index < 8; index += 1) {
      world.set(`n${index % 4}`, 'k', index);
      past.push([(await manager.backup(world.capture())).id, world.contents()]);
    }
    const kept = past.slice(-3);
    expect((await manager.list()).map(({ id }) => id)).toEqual(kept.map(([id]) => id).reverse());
    for (const [id, contents] of kept) expect(await contentsOf(await loader.load(id))).toEqual(contents);
    // For n1, n2 and n3, the value before the oldest kept snapshot and each later change: 4 + 2, and the constant.
    expect(await store.list('part-')).toHaveLength(7);
    manager.setSettings({ keep: 1 });
    await manager.backup(world.capture());
    expect((await manager.list()).map(({ id }) => id)).toEqual([kept.at(-1)?.[0]]);
    expect(await store.list('part-')).toHaveLength(5);
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('parts that a failed backup left are cleared away by the next one', async () => {
    const { world, store, manager, loader } = setUp();
    for (let index = 0; index < 10; index += 1) world.set(`n${index}`, 'k', `left ${index}`);
    store.beforePut = (name) => {
      if (name.startsWith('snapshot-')) throw new Error('no more room');
    };
    await expect(manager.backup(world.capture())).rejects.toThrow('no more room');
    expect(world.open).toBe(0);
    expect(await loader.newest()).toBeUndefined();
    expect(await store.list('part-')).toHaveLength(10);
    store.beforePut = () => {};
    for (let index = 0; index < 10; index += 1) world.set(`n${index}`, 'k', `new ${index}`);
    await manager.backup(world.capture());
    expect(await store.list('part-')).toHaveLength(10);
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('backups asked for at once are taken one after another, and pruning never meets one half-written', async () => {
    const { world, store, manager, loader } = setUp({ settings: { keep: 1 } });
    let writing = 0;
    store.beforePut = async () => {
      writing += 1;
      await new Promise((resolve) => setImmediate(resolve));
      writing -= 1;
    };
    const all: Promise<unknown>[] = [];
    for (let index = 0; index < 5; index += 1) {
      world.set('a', 'k', index);
      world.set(`n${index}`, 'k', index);
      all.push(manager.backup(world.capture()));
    }
    await Promise.all(all);
    expect(writing).toBe(0);
    expect(await manager.list()).toHaveLength(1);
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('snapshots that are not whole do not push whole ones out', async () => {
    const { world, store, manager, loader } = setUp({ settings: { keep: 2 } });
    const ids: string[] = [];
    for (let index = 0; index < 2; index += 1) {
      world.set('a', 'k', index);
      ids.push((await manager.backup(world.capture())).id);
    }
    await change(store, ids[1] ?? '', (bytes) => bytes.subarray(0, 20));
    world.set('a', 'k', 2);
    ids.push((await manager.backup(world.capture())).id);
    expect((await manager.list()).map(({ id, whole }) => [id, whole])).toEqual([
      [ids[2], true],
      [ids[1], false],
      [ids[0], true],
    ]);
    await loader.verify(ids[0] ?? '');
    world.set('a', 'k', 3);
    ids.push((await manager.backup(world.capture())).id);
    expect((await manager.list()).map(({ id }) => id)).toEqual([ids[3], ids[2]]);
    expect(await store.list('part-')).toHaveLength(2);
  });

  test('a snapshot that has lost a part is not counted as kept', async () => {
    const { world, store, manager, loader } = setUp({ settings: { keep: 2 } });
    world.set('a', 'k', 1);
    const first = await manager.backup(world.capture());
    const [before] = await store.list('part-');
    world.set('a', 'k', 2);
    await manager.backup(world.capture());
    await store.remove((await store.list('part-')).filter((part) => part !== before));
    world.set('a', 'k', 3);
    await manager.backup(world.capture());
    expect((await manager.list()).map(({ whole }) => whole)).toEqual([true, false, true]);
    await loader.verify(first.id);
  });

  test('an old one that cannot be removed makes the backup fail, though it is stored, and the next one removes it', async () => {
    const { world, store, manager, loader } = setUp({ settings: { keep: 1 } });
    world.set('a', 'k', 1);
    await manager.backup(world.capture());
    world.set('a', 'k', 2);
    const remove = store.remove.bind(store);
    store.remove = () => Promise.reject(new Error('read-only'));
    await expect(manager.backup(world.capture())).rejects.toThrow(
      /is stored and whole, but old ones could not be removed/,
    );
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
    store.remove = remove;
    await manager.backup(world.capture());
    expect(await manager.list()).toHaveLength(1);
    expect(await store.list('part-')).toHaveLength(1);
  });

  test('a backup that is given up leaves no snapshot', async () => {
    const { world, store, manager, loader } = setUp();
    world.set('a', 'k', 1);
    const stop = new AbortController();
    store.beforePut = () => stop.abort(new Error('shutting down'));
    await expect(manager.backup(world.capture(), { signal: stop.signal })).rejects.toThrow('shutting down');
    expect(await loader.newest()).toBeUndefined();
    expect(world.open).toBe(0);
  });
});
