import { execFile } from 'node:child_process';
import { inspect, promisify } from 'node:util';
import { decode } from '@msgpack/msgpack';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MirrorMismatchError } from '../../../src/backends/mirror-position.ts';
import { RedisContextCache, type RedisContextCacheOptions } from '../../../src/backends/redis/redis-context-cache.ts';
import { failureOf, LATER, never, updateAt } from '../../support/backends.ts';
import { startRedis, type TestServer } from '../../support/servers.ts';

const run = promisify(execFile);
let server: TestServer;
let other: Redis;
const caches: RedisContextCache[] = [];

beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  other = new Redis(server.url);
  await other.flushall();
});
afterEach(() => {
  for (const cache of caches.splice(0)) cache.close();
  other.disconnect();
});

function open(options: Partial<RedisContextCacheOptions> = {}): RedisContextCache {
  const cache = new RedisContextCache({ url: server.url, ...options });
  caches.push(cache);
  return cache;
}

async function cli(...args: string[]): Promise<Buffer> {
  const { stdout } = await run('redis-cli', ['--raw', '-p', String(server.port), ...args], { encoding: 'buffer' });
  return stdout.subarray(0, -1);
}

describe('what other programs find', () => {
  it('lies under prefix, namespace and key, as MessagePack that another reader opens', async () => {
    const value = { name: 'Zoë 🦊', tags: ['a', null, true], count: 2 ** 40, ratio: 0.5 };
    await open({ prefix: 'agents:' }).set('k:1', value, 'a:b%');
    expect(decode(await cli('GET', 'agents:a%3Ab%25:k:1'))).toEqual(value);
    await open().set('plain', value, 'space');
    expect(decode((await other.getBuffer('space:plain')) ?? [])).toEqual(value);
  });

  it('lies there too when it came as updates', async () => {
    await open().applyUpdates([updateAt(1, 'set', { value: { a: [1] } })], { log: 'l', after: 0, through: 1 }, never);
    expect(decode(await cli('GET', 'space:key'))).toEqual({ a: [1] });
  });

  it('has an index beside it that no value key can collide with', async () => {
    const cache = open({ prefix: 'p' });
    await cache.set('a', 1, 'keys');
    await cache.set('space', 2, 'keys:');
    await cache.set('k', 3, 'space');
    await cache.resetPosition('log', 5, never);
    const keys = await other.keys('*');
    expect(keys.sort()).toEqual(
      [
        'p:keys:keys',
        'p:keys:keys%3A',
        'p:keys:space',
        'p:namespaces',
        'p:positions',
        'pkeys%3A:space',
        'pkeys:a',
        'pspace:k',
      ].sort(),
    );
    await cache.clearNamespace('keys');
    expect(await cache.get('k', 'space')).toBe(3);
  });

  it('is left alone where it is not the cache’s', async () => {
    await other.set('space:foreign', 'theirs');
    const cache = open();
    await cache.set('mine', 1, 'space');
    await cache.clearNamespace('space');
    await cache.dropNamespace('space');
    expect(await other.keys('*')).toEqual(['space:foreign']);
  });

  it('is a clear error where it is no MessagePack', async () => {
    await other.set('space:key', '\xc1 not msgpack');
    expect(await failureOf(() => open().get('key', 'space'))).toMatchObject({ code: 'BACKEND_FAILED' });
  });
});

describe('the whole database', () => {
  it('is never searched: no KEYS, no SCAN', async () => {
    await other.config('RESETSTAT');
    const cache = open();
    await cache.set('a', 1, 'space');
    await cache.listKeys('space');
    await cache.listNamespaces();
    await cache.clearNamespace('space');
    await cache.applyUpdates(
      [updateAt(1, 'clear_namespace', { key: null })],
      { log: 'l', after: 0, through: 1 },
      never,
    );
    expect(await other.info('commandstats')).not.toMatch(/cmdstat_(keys|scan|flush\w*):/);
  });
});

describe('expiry', () => {
  it('is also Redis’s, and can be changed and taken away', async () => {
    const cache = open();
    await cache.set('key', 1, 'space', { expiresAt: LATER });
    expect(await other.pexpiretime('space:key')).toBe(LATER);
    await cache.touch('key', 'space', LATER + 1);
    expect(await other.pexpiretime('space:key')).toBe(LATER + 1);
    await cache.touch('key', 'space', null);
    expect(await other.pexpiretime('space:key')).toBe(-1);
    await cache.set('key', 1, 'space', { expiresAt: LATER });
    await cache.set('key', 2, 'space');
    expect(await other.pexpiretime('space:key')).toBe(-1);
  });

  it('comes the same way with updates', async () => {
    const cache = open();
    const mark = (after: number) => ({ log: 'l', after, through: after + 1 });
    await cache.applyUpdates([updateAt(1, 'set', { expiresAt: LATER })], mark(0), never);
    expect(await other.pexpiretime('space:key')).toBe(LATER);
    await cache.applyUpdates([updateAt(2, 'touch', { expiresAt: LATER + 1 })], mark(1), never);
    expect(await other.pexpiretime('space:key')).toBe(LATER + 1);
    await cache.applyUpdates([updateAt(3, 'touch')], mark(2), never);
    expect(await other.pexpiretime('space:key')).toBe(-1);
  });

  it('takes any instant', async () => {
    const cache = open();
    for (const expiresAt of [LATER + 0.5, Number.MAX_SAFE_INTEGER, 1e300]) {
      await cache.set('key', 1, 'space', { expiresAt });
      expect(await cache.get('key', 'space')).toBe(1);
    }
    for (const expiresAt of [1, 0, -5, 0.25]) {
      await cache.set('key', 1, 'space', { expiresAt });
      expect(await cache.get('key', 'space')).toBeUndefined();
    }
  });

  it('takes a key off the list, and its name out of the index', async () => {
    const cache = open();
    await cache.set('stays', 1, 'space');
    await cache.set('goes', 1, 'space', { expiresAt: 1 });
    expect(await other.smembers(':keys:space')).toHaveLength(2);
    expect(await cache.listKeys('space')).toEqual(['stays']);
    expect(await other.smembers(':keys:space')).toEqual(['stays']);
    expect(await cache.delete('goes', 'space')).toBe(false);
  });

  it('before a touch of the same entry arrives makes the mirror copy everything again', async () => {
    const cache = open();
    await cache.applyUpdates([updateAt(1, 'set', { expiresAt: 1 })], { log: 'l', after: 0, through: 1 }, never);
    const updates = [updateAt(2, 'set', { key: 'other' }), updateAt(3, 'touch', { expiresAt: LATER })];
    const failure = await failureOf(() => cache.applyUpdates(updates, { log: 'l', after: 1, through: 3 }, never));
    expect(failure).toBeInstanceOf(MirrorMismatchError);
    expect(await cache.appliedPosition('l', never)).toBeUndefined();
    expect(await cache.listKeys('space')).toEqual([]);
  });

  it('before a touch that has expired too means nothing', async () => {
    const cache = open();
    await cache.applyUpdates([updateAt(1, 'set', { expiresAt: 1 })], { log: 'l', after: 0, through: 1 }, never);
    await cache.applyUpdates([updateAt(2, 'touch', { expiresAt: 2 })], { log: 'l', after: 1, through: 2 }, never);
    expect(await cache.appliedPosition('l', never)).toBe(2);
  });
});

describe('scripts', () => {
  it('are sent again where Redis has forgotten them', async () => {
    const cache = open();
    await cache.set('key', 1, 'space');
    await other.script('FLUSH');
    await cache.set('key', 2, 'space');
    expect(await cache.get('key', 'space')).toBe(2);
  });

  it('clear a large namespace in one step', async () => {
    const cache = open();
    const pipeline = other.pipeline();
    const names = Array.from({ length: 50_000 }, (_, index) => `k${index}`);
    for (const name of names) pipeline.set(`large:${name}`, 'x');
    pipeline.sadd(':keys:large', ...names);
    pipeline.sadd(':namespaces', 'large');
    await pipeline.exec();
    expect(await cache.listKeys('large')).toHaveLength(50_000);
    await cache.clearNamespace('large');
    expect(await other.keys('*')).toEqual([':namespaces']);
  });
});

describe('positions', () => {
  it('of other logs are told', async () => {
    const cache = open();
    expect(await cache.otherLogs('mine')).toBe(false);
    await cache.resetPosition('mine', 3, never);
    expect(await cache.otherLogs('mine')).toBe(false);
    expect(await cache.otherLogs('another')).toBe(true);
  });

  it('let updates be taken at the same position, in chunks too', async () => {
    const cache = open();
    await cache.resetPosition('l', 10, never);
    const updates = Array.from({ length: 9_000 }, (_, i) => updateAt(i + 1, 'set', { key: `k${i}`, value: i }));
    await other.config('RESETSTAT');
    await cache.applyUpdates(updates, { log: 'l', after: 10, through: 10 }, never);
    // No step may be so long that it holds up everybody else.
    expect(await other.info('commandstats')).toMatch(/cmdstat_exec:calls=[3-9],/);
    expect(await cache.appliedPosition('l', never)).toBe(10);
    expect(await cache.listKeys('space')).toHaveLength(9_000);
  });

  it('that are no positions count as unknown', async () => {
    await other.hset(':positions', 'l', '5.0');
    const cache = open();
    expect(await cache.appliedPosition('l', never)).toBeUndefined();
    const failure = await failureOf(() => cache.applyUpdates([], { log: 'l', after: 5, through: 6 }, never));
    expect(failure).toBeInstanceOf(MirrorMismatchError);
  });
});

describe('options', () => {
  it.each([
    'localhost:6379',
    'http://localhost',
    'redis://',
    'redis://u:hush-hush@host/db',
    'redis://u:hush-hush@host?db=1',
    'redis://u:%hush-hush@host',
  ])('refuse the URL %s without repeating it', async (url) => {
    const failure = await failureOf(() => new RedisContextCache({ url }));
    expect(failure).toMatchObject({ code: 'INVALID_OPTION' });
    expect(inspect(failure)).not.toContain('hush-hush');
  });

  it('refuse a deadline that is none', async () => {
    for (const commandTimeoutMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await failureOf(() => open({ commandTimeoutMs }))).toMatchObject({ code: 'INVALID_OPTION' });
    }
  });

  it('name a database', async () => {
    await open({ url: `${server.url}/3` }).set('key', 'third', 'space');
    expect(await other.exists('space:key')).toBe(0);
    await other.select(3);
    expect(await other.exists('space:key')).toBe(1);
  });

  it('that name a database which is not there are an error, not another database', async () => {
    const cache = open({ url: `${server.url}/9999` });
    expect(await failureOf(() => cache.set('key', 1, 'space'))).toMatchObject({ code: 'BACKEND_FAILED' });
    expect(await other.dbsize()).toBe(0);
  });
});
