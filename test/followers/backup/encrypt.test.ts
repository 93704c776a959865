import { createDecipheriv } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BackupLoader } from '../../../src/followers/backup/backup-loader.ts';
import { BackupManager } from '../../../src/followers/backup/backup-manager.ts';
import { DirectorySnapshotStore } from '../../../src/followers/backup/directory-snapshot-store.ts';
import { encrypt } from '../../../src/followers/backup/encrypt-transform.ts';
import { MemorySnapshotStore } from '../../../src/followers/backup/memory-snapshot-store.ts';
import { sealManifest } from '../../../src/followers/backup/snapshot-format.ts';
import { readManifest } from '../../../src/followers/backup/snapshot-reader.ts';
import { compress, Transforms } from '../../../src/followers/backup/snapshot-transform.ts';
import { AgentContextCache } from '../../../src/index.ts';
import { anyName, anyValue, contentsOf, flipByte, setUp, World } from '../../support/backup.ts';
import { closing } from '../../support/cache.ts';
import { fcOptions } from '../../support/property.ts';
import { tempDir } from '../../support/temp-dir.ts';

const KEY = Uint8Array.from({ length: 32 }, (_, index) => 7 * index + 200);
const OTHER = KEY.with(0, 1);

const invalid = (text: RegExp) => ({ code: 'INVALID_OPTION', message: expect.stringMatching(text) });

describe('a key', () => {
  test('may be bytes, hex or base64 of them', async () => {
    const bytes = Buffer.from(KEY);
    const { encode } = encrypt({ key: KEY });
    const blob = await encode(Buffer.from('hello'));
    const texts = [
      bytes.toString('hex'),
      bytes.toString('hex').toUpperCase(),
      bytes.toString('base64'),
      bytes.toString('base64url'),
    ];
    for (const key of [KEY, bytes, ...texts, `${texts[2]}\n`]) {
      expect(Buffer.from(await encrypt({ key }).decode(blob)).toString()).toBe('hello');
    }
  });

  test('may be any, in any of these forms', () => {
    const property = fc.asyncProperty(fc.uint8Array({ minLength: 32, maxLength: 32 }), async (key) => {
      const blob = await encrypt({ key }).encode(key);
      for (const form of ['hex', 'base64', 'base64url'] as const) {
        expect(await encrypt({ key: Buffer.from(key).toString(form) }).decode(blob)).toEqual(Buffer.from(key));
      }
    });
    return fc.assert(property, fcOptions(100));
  });

  test.each([
    ['nothing', undefined],
    ['an empty text', ''],
    ['a passphrase', 'correct horse battery staple'],
    ['a passphrase of 32 characters', 'x'.repeat(32)],
    ['16 bytes', KEY.subarray(16)],
    ['33 bytes', new Uint8Array(33)],
    ['33 bytes in base64', Buffer.alloc(33).toString('base64')],
    ['31 bytes in hex', Buffer.alloc(31).toString('hex')],
    ['base64 with stray bits at its end', `${'A'.repeat(42)}B=`],
    ['an array', [...KEY]],
  ])('is refused where it is %s, without showing it', (_name, key) => {
    const make = () => encrypt({ key: key as never });
    expect(make).toThrow(expect.objectContaining(invalid(/32 bytes/)));
    if (typeof key === 'string' && key !== '') expect(make).not.toThrow(key);
  });

  test('may be wiped by the caller afterwards', async () => {
    const own = Uint8Array.from(KEY);
    const { encode } = encrypt({ key: own });
    own.fill(0);
    expect(await encrypt({ key: KEY }).decode(await encode(Buffer.from('x')))).toEqual(Buffer.from('x'));
  });
});

describe('a blob', () => {
  test('comes back whatever its bytes, is never the same twice, and shows nothing of them', () => {
    const property = fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      const { encode, decode } = encrypt({ key: KEY });
      const [first, second] = [await encode(bytes), await encode(bytes)];
      expect(first).not.toEqual(second);
      expect(first.length).toBe(bytes.length + 37);
      if (bytes.length > 4) expect(Buffer.from(first).includes(Buffer.from(bytes))).toBe(false);
      for (const blob of [first, second]) expect(Buffer.from(await decode(blob))).toEqual(Buffer.from(bytes));
    });
    return fc.assert(property, fcOptions(200));
  });

  test('is AES-256-GCM as anybody can open it: format, fingerprint, nonce, ciphertext, tag', async () => {
    const blob = Buffer.from(await encrypt({ key: KEY }).encode(Buffer.from('hello')));
    const decipher = createDecipheriv('aes-256-gcm', KEY, blob.subarray(9, 21));
    decipher.setAAD(blob.subarray(0, 9)).setAuthTag(blob.subarray(-16));
    expect(blob[0]).toBe(1);
    expect(Buffer.concat([decipher.update(blob.subarray(21, -16)), decipher.final()]).toString()).toBe('hello');
  });

  test('with any bit turned, or capture anywhere, is not taken', async () => {
    const { encode, decode } = encrypt({ key: KEY });
    const blob = await encode(Buffer.from('some text'));
    const codeOf = async (bytes: Uint8Array) => {
      try {
        await decode(bytes);
        return 'taken';
      } catch (error) {
        return (error as { code?: string }).code;
      }
    };
    for (let at = 0; at < blob.length; at += 1) {
      const expected = at === 0 ? 'FORMAT_UNSUPPORTED' : at < 9 ? 'INVALID_OPTION' : 'SNAPSHOT_CORRUPT';
      expect(await codeOf(flipByte(blob, at)), `byte ${at}`).toBe(expected);
      expect(await codeOf(blob.subarray(0, at)), `capture at ${at}`).toBe('SNAPSHOT_CORRUPT');
    }
    expect(await codeOf(blob)).toBe('taken');
  });
});

describe('an encrypted snapshot', () => {
  test('of anything is read back with the key, compressed or not, and without it shows nothing', () => {
    const entry = fc.record({ namespace: anyName, key: anyName, value: anyValue });
    const property = fc.asyncProperty(fc.array(entry, { maxLength: 30 }), fc.boolean(), async (entries, smaller) => {
      const transforms = [...(smaller ? [compress()] : []), encrypt({ key: KEY })];
      const { world, store, manager } = setUp({ transforms, partBytes: 200 });
      for (const { namespace, key, value } of entries) world.set(namespace, key, value);
      world.set('secret namespace', 'secret key', 'secret value');
      await manager.backup(world.capture());
      const loader = new BackupLoader({ store, transforms: [encrypt({ key: Buffer.from(KEY).toString('hex') })] });
      expect(await contentsOf(await loader.newest())).toEqual(world.contents());
      for (const name of await store.list('')) {
        expect(Buffer.from((await store.get(name)) ?? []).includes('secret')).toBe(false);
      }
    });
    return fc.assert(property, fcOptions(40));
  });

  test('is smaller compressed before than after', async () => {
    const sizes: number[] = [];
    for (const transforms of [
      [compress(), encrypt({ key: KEY })],
      [encrypt({ key: KEY }), compress()],
    ]) {
      const { world, manager } = setUp({ transforms });
      for (let i = 0; i < 100; i += 1) world.set('n', `k${i}`, 'the same over and over');
      sizes.push((await manager.backup(world.capture())).bytes);
    }
    expect(sizes[0]).toBeLessThan((sizes[1] ?? 0) / 3);
  });

  test('names another key as what is wrong, and no older snapshot is taken instead', async () => {
    const { world, store, manager } = setUp();
    world.set('a', 'k', 'older, not encrypted');
    await manager.backup(world.capture());
    world.set('a', 'k', 'newer');
    const { id } = await new BackupManager({ store, transforms: [encrypt({ key: KEY })] }).backup(world.capture());
    const wrong = new BackupLoader({ store, transforms: [encrypt({ key: OTHER })] });
    await expect(wrong.newest()).rejects.toMatchObject(invalid(new RegExp(`${id}.*encrypted with another key`)));
    await expect(new BackupLoader({ store }).newest()).rejects.toMatchObject(invalid(/transform aes-256-gcm/));
    const right = new BackupLoader({ store, transforms: [encrypt({ key: KEY })] });
    expect(await contentsOf(await right.newest())).toEqual(world.contents());
  });

  test('whose bytes were altered and its checksums made to fit is damage, and the one before it is taken', async () => {
    const transforms = [encrypt({ key: KEY })];
    const { world, store, manager } = setUp({ transforms });
    world.set('a', 'k', 1);
    await manager.backup(world.capture());
    const before = world.contents();
    world.set('a', 'k', 2);
    const { id } = await manager.backup(world.capture());
    // An attacker can write to the store but has no key.
    const sealed = new Transforms(transforms);
    const manifest = await readManifest(store, id, sealed);
    const spoilt = {
      encode: async (bytes: Uint8Array) => flipByte(await sealed.encode(bytes), 40),
    } as unknown as Transforms;
    await store.put(id, await sealManifest(manifest, spoilt));
    const damaged: string[] = [];
    const loader = new BackupLoader({ store, transforms, onDamaged: (_, error) => damaged.push(error.message) });
    expect(await contentsOf(await loader.newest())).toEqual(before);
    expect(damaged).toEqual([expect.stringMatching(new RegExp(`${id}.*was altered`))]);
  });

  test('does not write again what has not changed, and is written whole under a new key', async () => {
    const { world, store, manager } = setUp({ transforms: [encrypt({ key: KEY })] });
    world.set('same', 'k', 1);
    world.set('changing', 'k', 1);
    await manager.backup(world.capture());
    world.set('changing', 'k', 2);
    expect((await manager.backup(world.capture())).written).toMatchObject({ namespaces: 1, parts: 1 });
    const rotated = new BackupManager({ store, transforms: [encrypt({ key: OTHER })] });
    world.set('changing', 'k', 3);
    expect((await rotated.backup(world.capture())).written).toMatchObject({ namespaces: 2 });
    const loader = new BackupLoader({ store, transforms: [encrypt({ key: OTHER })] });
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('of a running cache restores it, with the key that was given to the cache', async () => {
    const path = await tempDir('encrypted');
    const backup = { store: new DirectorySnapshotStore(path), transforms: [compress(), encrypt({ key: KEY })] };
    const cache = closing(new AgentContextCache({ backup }));
    await cache.set('plan', { secret: 'tell nobody' }, 'trip');
    await cache.backup();
    for (const file of await readdir(path)) expect((await readFile(join(path, file))).includes('nobody')).toBe(false);
    const restored = closing(
      await AgentContextCache.open({ restoreFrom: path, backup: { transforms: backup.transforms } }),
    );
    expect(restored.get('plan', 'trip')).toEqual({ secret: 'tell nobody' });
    const wrong = { restoreFrom: path, backup: { transforms: [encrypt({ key: OTHER })] } };
    await expect(AgentContextCache.open(wrong)).rejects.toMatchObject(invalid(/another key/));
  });
});

test('a world of no entries survives, too', async () => {
  const transforms = [encrypt({ key: KEY })];
  const store = new MemorySnapshotStore();
  await new BackupManager({ store, transforms }).backup(new World().capture());
  expect(await contentsOf(await new BackupLoader({ store, transforms }).newest())).toEqual(new Map());
});
