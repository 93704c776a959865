import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DirectorySnapshotStore, MemorySnapshotStore } from '../../src/backup.ts';
import { encode } from '../../src/core/encoding/codec.ts';
import { type JsonValue, RedisContextCache, verifyDirectory } from '../../src/index.ts';
import { LateCache } from '../support/cache.ts';
import { startRedis, type TestServer } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { fill, open, told } from '../support/verify.ts';

let redis: TestServer;
let client: import('ioredis').Redis;
let database = 0;

beforeAll(async () => {
  redis = await startRedis();
  const { Redis } = await import('ioredis');
  client = new Redis(redis.port, '127.0.0.1');
});

afterAll(async () => {
  client.disconnect();
  await redis[Symbol.asyncDispose]();
});

/** Returns the URL of a separate, empty database. */
async function emptyDatabase(): Promise<string> {
  database += 1;
  await client.select(database);
  return `${redis.url}/${database}`;
}

const mirrored = async (url: string) => {
  const cache = await open({
    dataDir: await tempDir('mirrored'),
    durability: 'memory',
    secondaryCache: new RedisContextCache({ url }),
  });
  await fill(cache);
  return cache;
};

describe('verify against a mirror', () => {
  it('finds exactly the key that is missing, extra or different in Redis', async () => {
    const url = await emptyDatabase();
    const cache = await mirrored(url);
    const whole = await cache.verify({ against: url });
    expect(told(whole.problems)).toEqual([]);
    expect(whole.notes).toEqual([`The mirror is at position ${cache.position}, 0 behind.`]);
    expect(whole.checked.compared).toBe(242);
    await client.set('wide:k7', encode('other'));
    expect((await cache.verify({ against: url })).problems).toEqual([
      { kind: 'different', where: { namespace: 'wide', key: 'k7' }, message: 'The value differs.' },
    ]);
    await client.set('wide:k7', encode(7));
    await client.del('default:plan');
    expect((await cache.verify({ against: url })).problems).toMatchObject([
      { kind: 'missing', where: { namespace: 'default', key: 'plan' } },
    ]);
    await client.set('default:plan', encode(['search']));
    await client.sadd(':keys:busy', 'more');
    await client.set('busy:more', encode(null));
    expect((await cache.verify({ against: url })).problems).toMatchObject([
      { kind: 'extra', where: { namespace: 'busy', key: 'more' } },
    ]);
    await client.del('busy:more');
    await client.sadd(':namespaces', 'nobody');
    expect((await cache.verify({ against: url })).problems).toMatchObject([
      { kind: 'extra', where: { namespace: 'nobody' } },
    ]);
    await client.srem(':namespaces', 'nobody', 'wide');
    expect((await cache.verify({ against: url })).problems).toMatchObject([
      { kind: 'missing', where: { namespace: 'wide' } },
    ]);
  });

  it('compares with the state at the position of the mirror', async () => {
    const url = await emptyDatabase();
    const dataDir = await tempDir('behind');
    const cache = await open({ dataDir, secondaryCache: new RedisContextCache({ url }) });
    await fill(cache);
    const { position } = cache;
    await cache.shutdown();
    const later = await open({ dataDir });
    await later.set('plan', 'another');
    await later.dropNamespace('wide');
    const report = await later.verify({ against: url });
    expect(told(report.problems)).toEqual([]);
    expect(report.notes).toEqual([`The mirror is at position ${position}, 2 behind.`]);
    await client.hset(':positions', later.health().log.id, String(position + 1));
    expect((await later.verify({ against: url })).problems).toMatchObject([
      { kind: 'different', where: { namespace: 'default', key: 'plan' } },
    ]);
    await client.hset(':positions', later.health().log.id, '999999');
    expect((await later.verify({ against: url })).problems[0]).toMatchObject({ where: { position: 999_999 } });
  });

  it('finds nothing while writers continue, and the one key that is wrong', async () => {
    const url = await emptyDatabase();
    const cache = await mirrored(url);
    let writing = true;
    let i = 0;
    const writer = (async () => {
      while (writing) {
        for (let n = 0; n < 20; n += 1) {
          i += 1;
          void cache.set(`k${i % 40}`, i, `n${i % 6}`, i % 5 === 0 ? { ttl: 5 } : {});
          if (i % 7 === 0) void cache.delete(`k${(i + 3) % 40}`, `n${i % 6}`);
          if (i % 501 === 0) void cache.clearNamespace(`n${i % 6}`);
          if (i % 777 === 0) void cache.dropNamespace(`n${i % 6}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    for (let round = 0; round < 2 || i <= 500; round += 1) {
      const report = await cache.verify({ against: url });
      expect(told(report.problems)).toEqual([]);
    }
    await client.set('wide:k9', encode('wrong'));
    const { problems } = await cache.verify({ against: url });
    writing = false;
    await writer;
    expect(problems).toMatchObject([{ kind: 'different', where: { namespace: 'wide', key: 'k9' } }]);
  });

  it('accepts an expired entry in the mirror, or its absence', async () => {
    const url = await emptyDatabase();
    const cache = await open({ dataDir: await tempDir('expiry'), secondaryCache: new RedisContextCache({ url }) });
    await cache.set('soon', 1, 'n', { expiresAt: Date.now() + 800 });
    await cache.set('late', 1, 'n', { ttl: '1h' });
    await cache.synced();
    await client.del('n:soon', 'n:late');
    expect((await cache.verify({ against: url })).problems).toMatchObject([
      { kind: 'missing', where: { key: 'late' } },
    ]);
  });

  it('accepts a backend of any kind, and does not close it', async () => {
    const secondaryCache = new LateCache();
    const cache = await open({ secondaryCache });
    await fill(cache);
    expect(told((await cache.verify({ against: secondaryCache })).problems)).toEqual([]);
    secondaryCache.spaces.get('wide')?.set('k1', 'other' as JsonValue);
    secondaryCache.spaces.get('busy')?.delete('k5');
    const { problems, notes } = await cache.verify({ against: secondaryCache });
    expect(problems).toMatchObject([
      { kind: 'missing', where: { key: 'k5' } },
      { kind: 'different', where: { key: 'k1' } },
    ]);
    expect(notes).toEqual([expect.stringMatching(/does not record its position/)]);
  });
});

describe('verify against a backup', () => {
  it('compares the newest complete snapshot with the state at its position', async () => {
    const url = await emptyDatabase();
    const cache = await open({ dataDir: await tempDir('backed'), redisUrl: url });
    await fill(cache);
    const { id, position } = await cache.backup();
    await cache.set('after', 1);
    await cache.synced();
    const report = await cache.verify({ against: url });
    expect(told(report.problems)).toEqual([]);
    expect(report.notes).toEqual([
      `The mirror is at position ${cache.position}, 0 behind.`,
      `Snapshot ${id} is at position ${position}, 1 behind.`,
    ]);
    expect(report.checked.compared).toBe(243 + 242);
  });

  it('finds an entry that differs', async () => {
    const store = new MemorySnapshotStore();
    const other = await open({ dataDir: await tempDir('one'), backup: { store } });
    const cache = await open({ dataDir: await tempDir('other') });
    for (const [each, value] of [
      [other, 'theirs'],
      [cache, 'ours'],
    ] as const) {
      await each.set('same', 1, 'n');
      await each.set('k', value, 'n');
      await each.set(`only ${value}`, 1, 'n');
      await each.set('k', 1, value);
    }
    await other.backup();
    const kept = new MemorySnapshotStore();
    for (const name of await store.list('')) await kept.put(name, (await store.get(name)) ?? new Uint8Array());
    const { problems, notes } = await cache.verify({ against: kept });
    expect(notes).toContainEqual(expect.stringMatching(/to another log/));
    const found = problems
      .filter(({ where }) => where.key !== 'same')
      .map(({ kind, where }) => [kind, where.namespace, where.key]);
    expect(new Set(found.map((each) => JSON.stringify(each)))).toEqual(
      new Set(
        [
          ['different', 'n', 'k'],
          ['missing', 'n', 'only ours'],
          ['extra', 'n', 'only theirs'],
          ['missing', 'ours'],
          ['extra', 'theirs'],
        ].map(([kind, namespace, key]) => JSON.stringify([kind, namespace, key])),
      ),
    );
  });

  it('reports an empty or unreachable target, without the password', async () => {
    const cache = await open({});
    await cache.set('k', 1);
    await expect(cache.verify({ against: await emptyDatabase() })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(cache.verify({ against: join(await tempDir('none'), 'x') })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    const unreachable = cache.verify({ against: 'redis://user:secret@127.0.0.1:1/0' });
    await expect(unreachable).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.not.stringContaining('secret'),
    });
  });

  it('also compares a directory that no process has open', async () => {
    const dataDir = await tempDir('closed');
    const cache = await open({ dataDir });
    await fill(cache);
    await cache.backup();
    await cache.shutdown();
    const backups = join(dataDir, 'backups');
    expect(await verifyDirectory(dataDir, { against: backups })).toMatchObject({
      ok: true,
      checked: { compared: 242 },
    });
    const again = await open({ dataDir: await tempDir('again'), restoreFrom: new DirectorySnapshotStore(backups) });
    expect(await again.verify({ against: backups })).toMatchObject({ ok: true, checked: { compared: 242 } });
  });
});
