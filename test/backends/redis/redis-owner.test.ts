import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { AgentContextCache, type OpenOptions } from '../../../src/index.ts';
import { failureOf } from '../../support/backends.ts';
import { startRedis, type TestServer } from '../../support/servers.ts';
import { tempDir } from '../../support/temp-dir.ts';

let server: TestServer;
let redis: Redis;
const opened: AgentContextCache[] = [];
const failures = new Map<AgentContextCache, Error[]>();

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await redis.flushall();
});
afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.shutdown({ timeoutMs: 300 });
  failures.clear();
});

async function open(options: OpenOptions = {}): Promise<AgentContextCache> {
  const errors: Error[] = [];
  const cache = await AgentContextCache.open({
    redisUrl: server.url,
    backOff: { initialMs: 5, maximumMs: 50, stalledAfter: 5 },
    onError: (error) => errors.push(error),
    ...options,
  });
  opened.push(cache);
  failures.set(cache, errors);
  return cache;
}

/** Makes the claim look like that of a killed process, last active this long ago. */
async function silentFor(ms: number, key = ':owner'): Promise<void> {
  await redis.hset(key, 'activeAt', Date.now() - ms);
}

/** The refusal that the mirror of a cache met. */
async function refusalOf(cache: AgentContextCache): Promise<Error> {
  const refusals = () =>
    (failures.get(cache) ?? []).filter((error) => 'code' in error && error.code === 'OWNED_BY_ANOTHER');
  await vi.waitFor(() => expect(refusals()).not.toEqual([]), { timeout: 15_000 });
  return refusals()[0] as Error;
}

describe('a mirror in Redis belongs to one cache', () => {
  it('refuses a second cache with the name of the first and the remedy, and changes nothing', async () => {
    const first = await open();
    await first.set('plan', 'first');
    await first.synced();
    const second = await open();
    await second.set('plan', 'second');
    const error = await refusalOf(second);
    expect(error.message).toContain(first.health().log.id);
    expect(error.message).toContain(`process ${process.pid}`);
    expect(error.message).toMatch(/redisPrefix.*--redis-prefix.*\?prefix=.*":owner"/);
    expect(error).toMatchObject({ owner: { log: first.health().log.id, active: true } });
    expect(second.get('plan')).toBe('second');
    expect(second.health().redis?.lastError?.message).toContain('belongs to another cache');
    await first.set('more', 1);
    await first.synced();
    const mirror = await readMirror();
    expect(mirror).toEqual({ 'default:plan': 'first', 'default:more': 1 });
  });

  it('lets each cache mirror under its own prefix, by URL or by option', async () => {
    const first = await open({ redisUrl: `${server.url}/0?prefix=team-a:` });
    const second = await open({ redisPrefix: 'team-b:' });
    await first.set('plan', 'a');
    await second.set('plan', 'b');
    await Promise.all([first.synced(), second.synced()]);
    expect(await readMirror()).toEqual({ 'team-a:default:plan': 'a', 'team-b:default:plan': 'b' });
    expect(first.health().redis?.address).toBe(`${server.url}?prefix=team-a:`);
    expect(second.health().redis?.address).toBe(`${server.url}?prefix=team-b:`);
  });

  it('passes at once to the next cache after a shutdown, if the last one lived in memory', async () => {
    const first = await open();
    await first.set('plan', 'first');
    await first.synced();
    await first.shutdown();
    const second = await open();
    await second.set('plan', 'second');
    await second.synced({ timeoutMs: 5_000 });
    expect(failures.get(second)).toEqual([]);
    expect(await readMirror()).toEqual({ 'default:plan': 'second' });
  });

  it('passes to the next cache after a crash, once the claim has ended', async () => {
    await open().then((cache) => cache.synced());
    const first = opened[0]?.health().log.id ?? '';
    // A killed process releases nothing.
    await silentFor(20_000);
    const second = await open();
    await second.set('plan', 'second');
    await second.synced({ timeoutMs: 5_000 });
    expect(await redis.hget(':owner', 'log')).toBe(second.health().log.id);
    expect(await redis.hget(':positions', first)).toBe('lost');
  });

  it('is fenced against an owner that was only paused', async () => {
    const first = await open();
    await first.set('plan', 'first');
    await first.synced();
    await silentFor(20_000);
    const second = await open();
    await second.set('plan', 'second');
    await second.synced();
    await first.set('plan', 'too late');
    await refusalOf(first);
    expect(await readMirror()).toEqual({ 'default:plan': 'second' });
  });

  it('stays with a data directory that does not run, and is its own again after a restart', async () => {
    const dataDir = await tempDir();
    const first = await open({ dataDir });
    await first.set('plan', 'first');
    await first.synced();
    await first.shutdown();
    const stranger = await open();
    expect(await refusalOf(stranger)).toMatchObject({ owner: { active: false, idleMs: undefined } });
    const again = await open({ dataDir });
    await again.set('more', 1);
    await again.synced();
    expect(failures.get(again)).toEqual([]);
    expect(await readMirror()).toEqual({ 'default:plan': 'first', 'default:more': 1 });
  });

  it('is taken back at once by the same data directory after a crash', async () => {
    const dataDir = await tempDir();
    const first = await open({ dataDir });
    await first.set('plan', 'first');
    await first.synced();
    await first.shutdown();
    // The claim looks like that of a process killed a moment ago.
    await silentFor(100);
    await redis.hset(':owner', 'token', 'of-the-killed-process');
    const again = await open({ dataDir });
    await again.set('more', 1);
    await again.synced({ timeoutMs: 5_000 });
    expect(failures.get(again)).toEqual([]);
  });

  it.each([['directory'], ['snapshot']])(
    'passes to a cache that was restored from a %s, as an exact copy',
    async (from) => {
      const [dataDir, restored] = [await tempDir(), await tempDir()];
      const first = await open({ dataDir, redisUrl: server.url });
      await first.set('plan', 'first', 'kept');
      await first.backup();
      await first.set('gone', 1, 'after-the-backup');
      await first.synced();
      await first.shutdown();
      const restoreFrom = from === 'snapshot' ? server.url : dataDir;
      const second = await open({ dataDir: restored, restoreFrom });
      if (from === 'directory') await second.dropNamespace('after-the-backup');
      await second.set('plan', 'second', 'kept');
      await second.synced({ timeoutMs: 5_000 });
      expect(failures.get(second)).toEqual([]);
      expect(await readMirror()).toEqual({ 'kept:plan': 'second' });
      await second.backup();
      await second.shutdown();
      const old = await open({ dataDir });
      expect((await refusalOf(old)).message).toContain(second.health().log.id);
    },
  );

  it('passes to a fork, if the parent does not run', async () => {
    const [dataDir, forked] = [await tempDir(), await tempDir()];
    const first = await open({ dataDir });
    await first.set('plan', 'first');
    await first.synced();
    await (await first.fork({ dataDir: forked })).shutdown();
    const early = await open({ dataDir: forked });
    expect(await refusalOf(early)).toMatchObject({ owner: { active: true } });
    await early.shutdown();
    await first.shutdown();
    const fork = await open({ dataDir: forked });
    await fork.set('plan', 'fork');
    await fork.synced({ timeoutMs: 5_000 });
    expect(await readMirror()).toEqual({ 'default:plan': 'fork' });
  });

  it('belongs to one of two running caches after FLUSHALL, too, and that one fills it again', async () => {
    const first = await open();
    const second = await open();
    await Promise.all([first.set('plan', 'first'), second.set('plan', 'second')]);
    const [refused] = await Promise.race([
      refusalOf(first).then(() => [first]),
      refusalOf(second).then(() => [second]),
    ]);
    const owner = refused === first ? second : first;
    await owner.synced();
    await redis.flushall();
    await Promise.all([first.set('more', 'first'), second.set('more', 'second')]);
    await vi.waitFor(
      async () => {
        const log = await redis.hget(':owner', 'log');
        const now = [first, second].find((cache) => cache.health().log.id === log);
        const name = now === first ? 'first' : 'second';
        expect(await readMirror()).toEqual({ 'default:plan': name, 'default:more': name });
      },
      { timeout: 15_000 },
    );
  });

  it('is noticed to be empty by an idle owner', async () => {
    const first = await open();
    await first.set('plan', 'first');
    await first.synced();
    await redis.flushall();
    await vi.waitFor(async () => expect(await readMirror()).toEqual({ 'default:plan': 'first' }), { timeout: 15_000 });
  }, 20_000);

  it('leaves alone what is in the database and not of a cache', async () => {
    await redis.set('session:1', 'theirs');
    const cache = await open();
    await cache.set('plan', 1);
    await cache.synced();
    expect(await redis.get('session:1')).toBe('theirs');
    expect(failures.get(cache)).toEqual([]);
  });

  it('goes to another cache when its mark is deleted, and the old owner copies everything when it comes back', async () => {
    const dataDir = await tempDir();
    const first = await open({ dataDir });
    await first.set('plan', 'first');
    await first.synced();
    await first.shutdown();
    await redis.del(':owner');
    const second = await open();
    await second.set('plan', 'second');
    await second.synced();
    await second.shutdown();
    await redis.del(':owner');
    const again = await open({ dataDir });
    await again.synced({ timeoutMs: 5_000 });
    expect(await readMirror()).toEqual({ 'default:plan': 'first' });
  });
});

describe('snapshots in Redis belong to one cache', () => {
  it('are neither mixed nor pruned by another cache', async () => {
    const [dataDir, other] = [await tempDir(), await tempDir()];
    const first = await open({ dataDir, backup: { keep: 1 } });
    await first.set('plan', 'first');
    const { id } = await first.backup();
    const second = await open({ dataDir: other, backup: { keep: 1 } });
    await second.set('plan', 'second');
    expect(await failureOf(() => second.backup())).toMatchObject({
      code: 'OWNED_BY_ANOTHER',
      message: expect.stringMatching(/snapshots in Redis.*belong to another cache.*":backup::owner"/),
    });
    await first.shutdown();
    expect(await failureOf(() => second.backup())).toMatchObject({ code: 'OWNED_BY_ANOTHER' });
    expect(await snapshotsIn(':backup:')).toEqual([id]);
    const restored = await open({ redisUrl: undefined, restoreFrom: server.url });
    expect(restored.get('plan')).toBe('first');
  });

  it('are kept apart by prefixes', async () => {
    const first = await open({ redisPrefix: 'a:' });
    const second = await open({ redisUrl: `${server.url}?prefix=b:` });
    await first.set('plan', 'a');
    await second.set('plan', 'b');
    await Promise.all([first.backup(), second.backup()]);
    const restored = await open({ redisUrl: undefined, restoreFrom: `${server.url}?prefix=b:` });
    expect(restored.get('plan')).toBe('b');
  });

  it('pass to the next cache in memory after a shutdown', async () => {
    const first = await open();
    await first.set('plan', 'first');
    await first.backup();
    await first.shutdown();
    const second = await open({ restoreFrom: server.url });
    await second.set('plan', 'second');
    await second.backup();
    expect(await snapshotsIn(':backup:')).toHaveLength(2);
  });
});

it('refuses a prefix that is named twice, or has no Redis', async () => {
  const code = 'INVALID_OPTION';
  expect(await failureOf(() => open({ redisUrl: `${server.url}?prefix=a:`, redisPrefix: 'b:' }))).toMatchObject({
    code,
  });
  expect(await failureOf(() => open({ redisUrl: undefined, redisPrefix: 'b:' }))).toMatchObject({ code });
  expect(await failureOf(() => open({ redisUrl: `${server.url}?prefiks=a:` }))).toMatchObject({ code });
});

/** Every value in Redis by its key, read without the package. */
async function readMirror(): Promise<Record<string, unknown>> {
  const { decode } = await import('@msgpack/msgpack');
  const values: Record<string, unknown> = {};
  for (const key of (await redis.keys('*')).sort()) {
    if ((await redis.type(key)) !== 'string' || key.includes(':backup:')) continue;
    values[key] = decode((await redis.getBuffer(key)) ?? new Uint8Array());
  }
  return values;
}

/** Names of the snapshots that are listed under a prefix. */
function snapshotsIn(prefix: string): Promise<string[]> {
  return redis.zrangebylex(`${prefix}:index`, '[snapshot-', '(snapshot-~');
}
