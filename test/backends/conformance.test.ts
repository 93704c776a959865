import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { FileContextCache } from '../../src/backends/file-context-cache.ts';
import { InMemoryContextCache } from '../../src/backends/in-memory-context-cache.ts';
import { MultiBackendContextCache } from '../../src/backends/multi-backend-context-cache.ts';
import { RedisContextCache } from '../../src/backends/redis/redis-context-cache.ts';
import { contextCacheSuite } from '../../src/testing/context-cache-suite.ts';
import { startRedis, type TestServer } from '../support/servers.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';

let redis: TestServer;
let count = 0;

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

function redisCache(): RedisContextCache {
  count += 1;
  return new RedisContextCache({ url: redis.url, prefix: `suite-${count}:` });
}

describe('InMemoryContextCache', () =>
  contextCacheSuite({ test, open: () => ({ cache: new InMemoryContextCache(), dispose() {} }) }));

describe('RedisContextCache', () =>
  contextCacheSuite({
    test,
    open() {
      const cache = redisCache();
      return { cache, dispose: () => cache.close() };
    },
  }));

describe('FileContextCache', () =>
  contextCacheSuite({
    test,
    runs: 3,
    async open() {
      const directory = await tempDir('file-cache');
      const cache = new FileContextCache({ path: join(directory, 'context.json') });
      return {
        cache,
        async dispose() {
          await cache.close();
          removeTempDir(directory);
        },
      };
    },
  }));

describe('MultiBackendContextCache', () =>
  contextCacheSuite({
    test,
    open() {
      const cache = new MultiBackendContextCache({ primary: new InMemoryContextCache(), secondary: redisCache() });
      return { cache, dispose: () => cache.close() };
    },
  }));

describe('MultiBackendContextCache on an asynchronous primary', () =>
  contextCacheSuite({
    test,
    open() {
      const cache = new MultiBackendContextCache({ primary: redisCache(), secondary: new InMemoryContextCache() });
      return { cache, dispose: () => cache.close() };
    },
  }));
