import { decode as foreignDecode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BackupLoader } from '../../../src/followers/backup/backup-loader.ts';
import { BackupManager } from '../../../src/followers/backup/backup-manager.ts';
import { MemorySnapshotStore } from '../../../src/followers/backup/memory-snapshot-store.ts';
import { sha256 } from '../../../src/followers/backup/snapshot-format.ts';
import { compress } from '../../../src/followers/backup/snapshot-transform.ts';
import { anyName, anyValue, contentsOf, flip, setUp, World } from '../../support/backup.ts';
import { fcOptions } from '../../support/property.ts';

describe('writing and loading', () => {
  const entry = fc.record({
    key: anyName,
    value: anyValue,
    expiresAt: fc.option(fc.nat({ max: 2 ** 31 - 1 }).map((seconds) => seconds * 1_000)),
    agent: fc.option(anyName),
  });
  const namespaces = fc.array(fc.record({ name: anyName, entries: fc.array(entry, { maxLength: 12 }) }), {
    maxLength: 6,
  });
  const transforms = fc.constantFrom([], [compress()], [compress(), flip('flip', 0x5a)]);

  test('whatever was written is loaded again, equal and frozen, in any size of part and by any transforms', async () => {
    const property = fc.asyncProperty(
      namespaces,
      transforms,
      fc.integer({ min: 1, max: 3_000 }),
      async (input, steps, partBytes) => {
        const world = new World();
        for (const { name, entries } of input) {
          world.state(name);
          for (const { key, value, ...more } of entries) world.set(name, key, value, more);
        }
        const store = new MemorySnapshotStore();
        const info = await new BackupManager({ store, transforms: steps, partBytes }).backup(world.capture());
        const loader = new BackupLoader({ store, transforms: steps });
        const loaded = await loader.newest();
        expect(loaded?.info).toEqual((({ written: _, ...rest }) => rest)(info));
        const contents = await contentsOf(loaded);
        expect(contents).toEqual(world.contents());
        for (const { entries } of contents.values()) {
          for (const { value } of entries.values()) expect(isFrozen(value)).toBe(true);
        }
        expect(await contentsOf(await loader.load(info.id))).toEqual(contents);
        expect(world.open).toBe(0);
      },
    );
    await fc.assert(property, fcOptions(60));
  });

  test('refuses an unknown option of a backup by name, stores nothing and closes the capture', async () => {
    const { world, manager } = setUp();
    world.set('a', 'k', 1);
    await expect(manager.backup(world.capture(), { ful: true } as never)).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: 'BackupManager.backup has no option ful. Did you mean full?',
    });
    expect([await manager.list(), world.open]).toEqual([[], 0]);
  });

  test('an entry without a value (kept by a primary of the user) comes back without one', async () => {
    const { world, manager, loader } = setUp();
    world.set('a', 'k', 1, { value: undefined });
    world.set('a', 'null', null);
    await manager.backup(world.capture());
    const entries = (await contentsOf(await loader.newest())).get('a')?.entries;
    expect(entries?.get('k')).toMatchObject({ value: undefined, version: 1 });
    expect(entries?.get('null')?.value).toBeNull();
  });

  test('an empty cache is a snapshot too', async () => {
    const { world, manager, loader } = setUp();
    const info = await manager.backup(world.capture());
    expect(info).toMatchObject({ namespaces: 0, entries: 0, bytes: 0, position: 0, whole: true });
    expect((await contentsOf(await loader.newest())).size).toBe(0);
  });

  test('no snapshot at all is undefined, and an unknown one is not found', async () => {
    const { loader } = setUp();
    expect(await loader.newest()).toBeUndefined();
    await expect(loader.load('snapshot-000000000001000-0000000000000001')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(loader.load('../x')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('parts and manifest can be opened by any MessagePack reader and checked with sha256', async () => {
    const { world, store, manager } = setUp();
    world.set('__proto__', 'k', { a: [1, null] }, { agent: 'ada', expiresAt: 5_000 });
    const { id } = await manager.backup(world.capture());
    const envelope = foreignDecode((await store.get(id)) ?? []) as { body: Uint8Array; format: number };
    expect(envelope.format).toBe(2);
    const manifest = foreignDecode(envelope.body) as {
      namespaces: { name: string; parts: { id: string; sha256: string }[] }[];
    };
    expect(manifest).toMatchObject({ format: 2, id, position: 1, at: 1_000, log: 'log-1', transforms: [] });
    const [namespace] = manifest.namespaces;
    expect(namespace).toMatchObject({ name: '__proto__', version: 1, position: 1, count: 1 });
    const part = namespace?.parts[0];
    const bytes = (await store.get(part?.id ?? '')) ?? new Uint8Array();
    expect(sha256(bytes)).toBe(part?.sha256);
    expect(part?.id).toBe(`part-${part?.sha256.slice(0, 40)}`);
    expect(foreignDecode(bytes)).toEqual([
      ['k', 1, 1_000, 1_000, 5_000, 'ada', world.state('__proto__').bytes, { a: [1, null] }],
    ]);
  });

  test('parts stay within their size, save for one entry that is larger by itself', async () => {
    const { world, store, manager, loader } = setUp({ partBytes: 10_000 });
    for (let index = 0; index < 200; index += 1) world.set('many', `key-${index}`, 'x'.repeat(400));
    world.set('many', 'huge', 'y'.repeat(50_000));
    await manager.backup(world.capture());
    const sizes = await Promise.all(
      (await store.list('part-')).map(async (part) => (await store.get(part))?.length ?? 0),
    );
    expect(sizes.filter((size) => size > 10_000)).toHaveLength(1);
    expect(sizes.length).toBeGreaterThan(8);
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test.each([
    ['one large namespace', 1, 3_000],
    ['many small namespaces', 5_000, 1],
    ['many small namespaces that have not changed', 5_000, 1],
  ])('others get their turn while %s is written, and can stop it', async (name, namespaces, entries) => {
    const { world, manager } = setUp();
    for (let index = 0; index < namespaces; index += 1) {
      for (let key = 0; key < entries; key += 1) world.set(`n${index}`, `key-${key}`, 'x'.repeat(1_000));
    }
    if (name.endsWith('changed')) await manager.backup(world.capture());
    world.set('another', 'k', 1);
    let turns = 0;
    const stop = new AbortController();
    const count = () => {
      turns += 1;
      if (turns === 2) stop.abort(new Error('enough'));
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    await expect(manager.backup(world.capture(), { signal: stop.signal })).rejects.toThrow('enough');
    clearImmediate(timer);
    expect(world.open).toBe(0);
  });

  test('only a few parts are held at a time', async () => {
    const { world, store, manager } = setUp({ partBytes: 64 * 1024 });
    for (let index = 0; index < 3_000; index += 1) world.set('big', `key-${index}`, `${index}${'x'.repeat(1_000)}`);
    let under = 0;
    let most = 0;
    store.beforePut = async () => {
      under += 1;
      most = Math.max(most, under);
      for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      under -= 1;
    };
    await manager.backup(world.capture());
    expect(most).toBe(4);
    expect(store.puts.length).toBeGreaterThan(40);
  });

  test('a snapshot is the state at its capture, whatever changes while it is written', async () => {
    const change = fc.record({
      namespace: fc.constantFrom('a', 'b', 'c'),
      kind: fc.constantFrom('set', 'set', 'set', 'remove', 'remove', 'clear'),
      key: fc.integer({ min: 0, max: 40 }).map((index) => `key-${index}`),
    });
    const property = fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 60 }), async (changes) => {
      const { world, store, manager, loader } = setUp({ partBytes: 200 });
      for (const namespace of ['a', 'b', 'c']) {
        for (let index = 0; index < 30; index += 1) world.set(namespace, `key-${index}`, `before ${index}`);
      }
      const expected = world.contents();
      const left = [...changes];
      store.beforePut = async () => {
        for (const { namespace, kind, key } of left.splice(0, 3)) {
          if (kind === 'set') world.set(namespace, key, 'after');
          else if (kind === 'remove') world.remove(namespace, key);
          else world.clear(namespace);
        }
        await new Promise((resolve) => setImmediate(resolve));
      };
      await manager.backup(world.capture());
      expect(await contentsOf(await loader.newest())).toEqual(expected);
    });
    await fc.assert(property, fcOptions(60));
  });
});

function isFrozen(value: unknown): boolean {
  return (
    typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen))
  );
}
