import { describe, test } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { connect } from '../../src/client.ts';
import { AgentContextCache, type OpenOptions } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { cacheSuite } from '../../src/testing/cache-suite.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';

const quiet: Omit<OpenOptions, 'dataDir'> = { natsUrl: null, backup: { enabled: false }, onError: () => {} };

const inMemory = () =>
  new AgentContextCache({ ...quiet, backup: { store: new MemorySnapshotStore(), enabled: false } });

describe('AgentContextCache in memory', () =>
  cacheSuite({
    test,
    open() {
      const cache = inMemory();
      return { cache, dispose: async () => void (await cache.shutdown()) };
    },
  }));

describe('a client of a cache in memory', () =>
  cacheSuite({
    test,
    async open() {
      const cache = inMemory();
      const server = await startServer(cache);
      const remote = await connect(server.url, { token: server.token, onError: () => {} });
      const dispose = async () => {
        await remote.shutdown();
        await cache.shutdown();
      };
      return { cache: remote, dispose };
    },
  }));

describe('a client of a data directory', () =>
  cacheSuite({
    test,
    async open() {
      const dataDir = await tempDir('served');
      const cache = await AgentContextCache.open({ ...quiet, dataDir });
      await startServer(cache);
      const remote = await connect(dataDir, { onError: () => {} });
      const dispose = async () => {
        await remote.shutdown();
        await cache.shutdown();
        removeTempDir(dataDir);
      };
      return { cache: remote, dispose };
    },
  }));

describe('a cache that this process shares and does not hold', () =>
  cacheSuite({
    test,
    async open() {
      const dataDir = await tempDir('shared');
      const holder = await AgentContextCache.share(dataDir, quiet);
      const cache = await AgentContextCache.share(dataDir, quiet);
      const dispose = async () => {
        await cache.shutdown();
        await holder.shutdown();
        removeTempDir(dataDir);
      };
      return { cache, dispose };
    },
  }));
