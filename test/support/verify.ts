import { join } from 'node:path';
import { AgentContextCache, type OpenOptions, type VerifyProblem } from '../../src/index.ts';
import { type LevelStorage, openLevel } from '../../src/storage/disk/index/leveldb/level-storage.ts';
import { afterEachTest } from './clean-up.ts';
import { tempDir } from './temp-dir.ts';

const opened: AgentContextCache[] = [];

afterEachTest(async () => {
  for (const cache of opened.splice(0)) await cache.shutdown({ timeoutMs: 5_000 });
});

export async function open(options: OpenOptions): Promise<AgentContextCache> {
  const cache = await AgentContextCache.open({ sync: false, natsUrl: null, onError: () => {}, ...options });
  opened.push(cache);
  return cache;
}

/** A data directory with something of everything: frames, many pages, an expiry, a drop, settings, a tail. */
export async function filledDirectory(): Promise<string> {
  const dataDir = await tempDir('verify');
  const cache = await open({ dataDir, durability: 'memory' });
  await fill(cache);
  await cache.shutdown({ timeoutMs: 5_000 });
  return dataDir;
}

export async function fill(cache: AgentContextCache): Promise<void> {
  for (let i = 0; i < 3_000; i += 1) {
    void cache.set(`k${i % 40}`, { i, text: 'x'.repeat(i % 50) }, 'busy', { agent: `a${i % 3}` });
    if (i % 11 === 0) void cache.delete(`k${(i + 3) % 40}`, 'busy');
    if (i === 1_500) await cache.synced();
  }
  for (let i = 0; i < 200; i += 1) void cache.set(`k${i}`, i, 'wide', { ttl: '1d' });
  await cache.setTopicsList(['agents.context']);
  void cache.set('gone', 1, 'dropped');
  void cache.dropNamespace('dropped');
  void cache.set('plan', ['search'], 'default');
  void cache.set('one', 1, 'p/1:a/0\0é');
  void cache.clearNamespace('p/1:a/0\0é');
  void cache.set('two', 2, 'p/1:a/0\0é');
  await cache.synced();
}

/** Works on the records of the index of a directory that no process has open. */
export async function withRecords<T>(dataDir: string, work: (storage: LevelStorage) => Promise<T>): Promise<T> {
  const storage = await openLevel(join(dataDir, 'db', 'index'));
  try {
    return await work(storage);
  } finally {
    await storage.close();
  }
}

export async function allRecords(storage: LevelStorage): Promise<(readonly [string, Uint8Array])[]> {
  const records: (readonly [string, Uint8Array])[] = [];
  for await (const [key, bytes] of storage.entries({ gte: '', lt: '\u{10ffff}' }))
    records.push([key, Buffer.from(bytes)]);
  return records;
}

/** Shortens problems. */
export function told(problems: readonly VerifyProblem[]): string[] {
  return problems.map(({ kind, where, message }) => `${kind} ${JSON.stringify(where)} ${message}`);
}
