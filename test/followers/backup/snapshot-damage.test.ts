import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encode } from '../../../src/core/encoding/codec.ts';
import { BackupLoader } from '../../../src/followers/backup/backup-loader.ts';
import { BackupManager } from '../../../src/followers/backup/backup-manager.ts';
import { DirectorySnapshotStore } from '../../../src/followers/backup/directory-snapshot-store.ts';
import { sealManifest, sha256 } from '../../../src/followers/backup/snapshot-format.ts';
import { readManifest } from '../../../src/followers/backup/snapshot-reader.ts';
import type { SnapshotStore } from '../../../src/followers/backup/snapshot-store.ts';
import { Transforms } from '../../../src/followers/backup/snapshot-transform.ts';
import { change, contentsOf, flip, flipByte, setUp, World } from '../../support/backup.ts';
import { tempDir } from '../../support/temp-dir.ts';

describe('damage', () => {
  async function twoInDirectory() {
    const path = await tempDir('backup');
    const store = new DirectorySnapshotStore(path);
    const manager = new BackupManager({ store });
    const world = new World();
    world.set('shared', 'k', 'both');
    world.set('changing', 'k', 'older');
    const older = await manager.backup(world.capture());
    const parts = new Set(await readdir(path));
    const before = world.contents();
    world.set('changing', 'k', 'newer');
    const newer = await manager.backup(world.capture());
    const added = (await readdir(path)).filter((file) => !parts.has(file) && file.startsWith('part-'));
    expect(added).toHaveLength(1);
    return { path, store, manager, older, newer, before, part: join(path, added[0] ?? '') };
  }

  const edits: [string, (place: Awaited<ReturnType<typeof twoInDirectory>>) => Promise<void>, RegExp][] = [
    [
      'a flipped byte in a part',
      async ({ part }) => writeFile(part, flipByte(await readFile(part))),
      /part-\w+ .*damaged/i,
    ],
    [
      'a part cut short',
      async ({ part }) => writeFile(part, (await readFile(part)).subarray(0, 3)),
      /part-\w+ .*damaged/i,
    ],
    [
      'a missing part',
      async ({ store, part }) => store.remove([/part-\w+/.exec(part)?.[0] ?? '']),
      /part-\w+ .*missing/i,
    ],
    [
      'a torn manifest',
      ({ store, newer }) => change(store, newer.id, (bytes) => bytes.subarray(0, bytes.length - 9)),
      /manifest/,
    ],
    ['an empty manifest', ({ store, newer }) => change(store, newer.id, () => new Uint8Array()), /manifest/],
    [
      'another manifest under its name',
      ({ store, newer, older }) => copy(store, older.id, newer.id),
      /stored under this name/,
    ],
  ];

  test.each(edits)('%s is named, and the snapshot before is taken', async (_name, edit, message) => {
    const place = await twoInDirectory();
    await edit(place);
    const damaged: [string, string, string][] = [];
    const loader = new BackupLoader({
      store: place.store,
      onDamaged: (id, { code, message }) => damaged.push([id, code, message]),
    });
    const loaded = await loader.newest();
    expect(damaged).toEqual([[place.newer.id, 'SNAPSHOT_CORRUPT', expect.stringMatching(message)]]);
    expect(loaded?.info.id).toBe(place.older.id);
    expect(await contentsOf(loaded)).toEqual(place.before);
    await expect(loader.verify(place.newer.id)).rejects.toMatchObject({
      code: 'SNAPSHOT_CORRUPT',
      snapshot: place.newer.id,
    });
    await expect(loader.load(place.newer.id).then(contentsOf)).rejects.toThrow(place.newer.id);
    await loader.verify(place.older.id);
  });

  async function copy(store: SnapshotStore, from: string, to: string): Promise<void> {
    await store.put(to, (await store.get(from)) ?? new Uint8Array());
  }

  test('any flipped byte of a manifest or a part is noticed', async () => {
    const { world, store, manager, loader } = setUp();
    world.set('a', 'k', { text: 'hello', list: [1, 2, 3] });
    const { id } = await manager.backup(world.capture());
    for (const name of await store.list('')) {
      const sound = (await store.get(name)) ?? new Uint8Array();
      for (let at = 0; at < sound.length; at += 1) {
        await store.put(name, flipByte(sound, at));
        await expect(loader.verify(id), `${name} at ${at}`).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' });
      }
      await store.put(name, sound);
    }
    await loader.verify(id);
  });

  test('a part whose checksum is right is refused if bytes follow its entries', async () => {
    const { world, store, manager, loader } = setUp();
    world.set('a', 'k', 1);
    const { id } = await manager.backup(world.capture());
    const transforms = new Transforms([]);
    const manifest = await readManifest(store, id, transforms);
    const part = manifest.namespaces[0]?.parts[0]?.id ?? '';
    const bytes = Buffer.concat([(await store.get(part)) ?? new Uint8Array(), Buffer.from([1])]);
    await store.put(part, bytes);
    const parts = [{ id: part, bytes: bytes.length, sha256: sha256(bytes) }];
    const namespaces = manifest.namespaces.map((one) => ({ ...one, parts }));
    await store.put(id, await sealManifest({ ...manifest, namespaces }, transforms));
    await expect(loader.load(id).then(contentsOf)).rejects.toMatchObject({
      code: 'SNAPSHOT_CORRUPT',
      message: expect.stringContaining(`Part ${part} of snapshot ${id} cannot be decoded`),
    });
  });

  test('where all are damaged that is an error, not an empty cache', async () => {
    const { world, store, manager, loader, damaged } = setUp();
    world.set('a', 'k', 1);
    const { id } = await manager.backup(world.capture());
    await store.remove(await store.list('part-'));
    await expect(loader.newest()).rejects.toMatchObject({
      code: 'SNAPSHOT_CORRUPT',
      message: expect.stringContaining(id),
    });
    expect(damaged).toEqual([id]);
    expect(await manager.list()).toMatchObject([{ id, whole: false, problem: '1 of its 1 parts are missing' }]);
  });

  test.each([1, 3])('snapshots of format %i are refused, not skipped, and keep their parts', async (format) => {
    const { world, store, manager, loader } = setUp({ settings: { keep: 2 } });
    world.set('a', 'k', 1);
    await manager.backup(world.capture());
    const body = new Uint8Array([1]);
    const other = { format, transforms: [], sha256: sha256(`${JSON.stringify([format, []])}\n`, body), body };
    const id = 'snapshot-000000000009000-0000000000000009';
    await store.put(id, encode(other));
    await store.put('part-its-own', body);
    await expect(loader.newest()).rejects.toMatchObject({
      code: 'FORMAT_UNSUPPORTED',
      message: expect.stringContaining(id),
    });
    const another = new BackupManager({ store, settings: { keep: 2 } });
    world.set('a', 'k', 2);
    await another.backup(world.capture());
    expect(await store.has([id, 'part-its-own'])).toEqual([true, true]);
    world.set('a', 'k', 3);
    await another.backup(world.capture());
    expect(await store.has([id, 'part-its-own'])).toEqual([false, false]);
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('a missing transform or a wrong key is told, and no older snapshot taken instead', async () => {
    const { world, store, manager } = setUp();
    world.set('a', 'k', 1);
    await manager.backup(world.capture());
    world.set('a', 'k', 2);
    await new BackupManager({ store, transforms: [flip('aes', 1)] }).backup(world.capture());
    const invalid = (text: string) => ({ code: 'INVALID_OPTION', message: expect.stringContaining(text) });
    await expect(new BackupLoader({ store }).newest()).rejects.toMatchObject(invalid('transform aes'));
    const wrong = new BackupLoader({ store, transforms: [flip('aes', 2)] });
    await expect(wrong.newest()).rejects.toMatchObject(invalid('wrong key'));
    const right = new BackupLoader({ store, transforms: [flip('other', 2), flip('aes', 1)] });
    expect(await contentsOf(await right.newest())).toEqual(world.contents());
  });
});
