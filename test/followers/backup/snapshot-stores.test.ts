import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SimulatedClock } from 'xstate';
import { DirectorySnapshotStore } from '../../../src/followers/backup/directory-snapshot-store.ts';
import { MemorySnapshotStore } from '../../../src/followers/backup/memory-snapshot-store.ts';
import { RedisSnapshotStore } from '../../../src/followers/backup/redis-snapshot-store.ts';
import { snapshotStoreSuite } from '../../../src/testing/snapshot-store-suite.ts';
import { startRedis, type TestServer } from '../../support/servers.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { passing } from '../../support/waiting.ts';

const blob = Uint8Array.from([1, 2, 3]);

describe('MemorySnapshotStore', () => {
  snapshotStoreSuite({ test, open: () => ({ store: new MemorySnapshotStore() }) });
});

describe('DirectorySnapshotStore', () => {
  snapshotStoreSuite({
    test,
    open: async () => {
      const path = join(await tempDir('backup'), 'deep', 'er');
      return { store: new DirectorySnapshotStore(path), reopen: () => new DirectorySnapshotStore(path) };
    },
  });

  test('directory and files are for their owner only', async () => {
    const path = join(await tempDir('backup'), 'backups');
    await new DirectorySnapshotStore(path).put('a', blob);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    const [file] = await readdir(path);
    expect((await stat(join(path, file ?? ''))).mode & 0o777).toBe(0o600);
  });

  test('what a crash left half-written is no blob, and is cleared away by the next put', async () => {
    const path = await tempDir('backup');
    await new DirectorySnapshotStore(path).put('a', blob);
    await writeFile(join(path, 'a.blob.0123456789ab~'), 'half');
    const store = new DirectorySnapshotStore(path);
    expect(await store.list('')).toEqual(['a']);
    await store.put('b', blob);
    expect((await readdir(path)).sort()).toEqual(['a.blob', 'b.blob']);
  });

  test('a put that cannot be is an error that names the directory, and leaves nothing behind', async () => {
    const path = await tempDir('backup');
    const store = new DirectorySnapshotStore(path);
    await mkdir(join(path, 'a.blob'));
    await expect(store.put('a', blob)).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringContaining(path),
    });
    expect(await readdir(path)).toEqual(['a.blob']);
    await rm(path, { recursive: true });
    await store.put('a', blob);
    expect(await store.list('')).toEqual(['a']);
  });
});

describe('RedisSnapshotStore', () => {
  let server: TestServer;
  let prefixes = 0;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  snapshotStoreSuite({
    test,
    open: () => {
      prefixes += 1;
      const options = { url: server.url, prefix: `:suite-${prefixes}:` };
      return { store: new RedisSnapshotStore(options), reopen: () => new RedisSnapshotStore(options) };
    },
  });

  test('blobs and index are where they are said to be, and nothing else is touched', async () => {
    await using other = await startRedis();
    const redis = new Redis(other.url);
    await redis.set('default:key', 'mine');
    const store = new RedisSnapshotStore({ url: other.url });
    await store.put('part-1', blob);
    expect((await redis.keys('*')).sort()).toEqual([':backup:part-1', ':backup::index', 'default:key'].sort());
    expect(await redis.getBuffer(':backup:part-1')).toEqual(Buffer.from(blob));
    await store.remove(['part-1']);
    expect(await redis.keys('*')).toEqual(['default:key']);
    await store.close();
    redis.disconnect();
  });

  test('stores with different prefixes do not see one another', async () => {
    const one = new RedisSnapshotStore({ url: server.url, prefix: ':one:' });
    const two = new RedisSnapshotStore({ url: server.url, prefix: ':two:' });
    await one.put('a', blob);
    expect(await two.get('a')).toBeUndefined();
    expect(await two.list('')).toEqual([]);
    await Promise.all([one.close(), two.close()]);
  });

  test('a Redis that went away is an error at once, and the next call after it is back works', async () => {
    await using own = await startRedis();
    const store = new RedisSnapshotStore({ url: own.url });
    await store.put('a', blob);
    await own.kill();
    await expect(store.get('a')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await expect(store.put('a', blob)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await own.restart();
    await store.put('b', blob);
    expect(await store.list('')).toEqual(['b']);
    await store.close();
  });

  test('a Redis that hangs costs a call its deadline and no more, before and after it is connected', async () => {
    await using own = await startRedis();
    const clock = new SimulatedClock();
    const store = new RedisSnapshotStore({ url: own.url, commandTimeoutMs: 5_000, clock });
    await store.put('a', blob);
    own.pause();
    for (let round = 0; round < 2; round += 1) {
      const late = store.get('a').catch((error: unknown) => error);
      expect(await passing(clock, late)).toMatchObject({ code: 'TIMED_OUT' });
    }
    own.resume();
    expect(await store.get('a')).toEqual(Buffer.from(blob));
    await store.close();
  });

  test('closing rejects what is under way', async () => {
    await using own = await startRedis();
    const store = new RedisSnapshotStore({ url: own.url });
    await store.put('a', blob);
    own.pause();
    const late = store.get('a').catch((error: unknown) => error);
    await store.close();
    expect(await late).toMatchObject({ code: 'CLOSED' });
    own.resume();
  });

  test('a refusal by Redis is told', async () => {
    await using own = await startRedis({ args: ['--maxmemory', '1', '--maxmemory-policy', 'noeviction'] });
    const store = new RedisSnapshotStore({ url: own.url });
    await expect(store.put('a', blob)).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    await store.close();
  });

  test('a transaction of which one command failed has failed', async () => {
    await using own = await startRedis();
    const redis = new Redis(own.url);
    await redis.set(':backup::index', 'somebody else was here');
    const store = new RedisSnapshotStore({ url: own.url });
    await expect(store.put('a', blob)).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    await store.close();
    redis.disconnect();
  });

  test('a wrong password or address is told without the password', async () => {
    await using own = await startRedis({ args: ['--requirepass', 'right'] });
    const store = new RedisSnapshotStore({ url: own.url.replace('//', '//:s3cret@') });
    const error: unknown = await store.list('').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).not.toContain('s3cret');
    expect(store.description).not.toContain('s3cret');
    await store.close();
    expect(() => new RedisSnapshotStore({ url: 's3cret' })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
    expect(() => new RedisSnapshotStore({ url: 's3cret' })).not.toThrow(/s3cret/);
  });
});
