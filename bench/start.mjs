// Measures opening a large directory, and the first read of a namespace that is not in memory.
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { check, checkSame } from './lib/check.mjs';
import { filledCache } from './lib/directory.mjs';
import { AgentContextCache, decodeEntry, decodePage } from './lib/ours.mjs';
import { makeSpace } from './lib/space.mjs';
import { syncFiles } from './lib/sync.mjs';
import { VALUES } from './lib/values.mjs';

const READ_ALL = 'reading all of it';

export default {
  order: 12,
  title: 'start',
  about: 'milliseconds until a cache is open on a data directory; the files are in the page cache',
  metrics: {
    open: { unit: 'ms', better: 'less', what: 'open' },
    first: { unit: 'ms', better: 'less', what: 'first get of a cold namespace' },
    next: { unit: 'ms', better: 'less', what: 'median get of the next 49 cold namespaces' },
  },
  goals: [
    { ahead: 20, of: [READ_ALL], text: '20× faster than reading all of it' },
    { metric: 'first', atMost: 1, text: 'first `get` of a cold namespace under 1 ms' },
    { metric: 'next', atMost: 1, text: 'the next 49 under 1 ms' },
  ],
  cases: ({ quick }) => [
    quick
      ? { name: '5,000 keys in 100 namespaces', keys: 5_000, namespaces: 100 }
      : { name: '1 million keys in 1,000 namespaces', headline: true, keys: 1_000_000, namespaces: 1_000 },
  ],
  candidates: [
    { name: 'agent-context-cache', role: 'ours' },
    { name: READ_ALL, role: 'rival' },
  ],
  async prepare({ dir, case: oneCase, seed }) {
    const cache = await filledCache(join(dir, 'data'), makeSpace(oneCase, seed), VALUES.small);
    await cache.shutdown({ timeoutMs: 600_000 });
  },
  async measure({ candidate, case: oneCase, dir, shared, seed }) {
    const space = makeSpace(oneCase, seed);
    const dataDir = join(dir, 'data');
    await cp(join(shared, 'data'), dataDir, { recursive: true });
    // The first sync of a file pays for all pages of the copy that are not on disk yet.
    syncFiles(dataDir);
    return candidate === READ_ALL ? readAll(dataDir, space) : opened(dataDir, space);
  },
};

async function opened(dataDir, { count, namespaceOf, keyOf, order, names }) {
  const began = performance.now();
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  const open = performance.now() - began;
  const times = [];
  // Each reads another namespace, so each is cold. The first one also compiles the code, and is counted.
  const looks = [...order].filter((i, at) => i < names.length && at < count).slice(0, 50);
  for (const i of looks) {
    const before = performance.now();
    const value = cache.get(keyOf[i], namespaceOf[i]);
    times.push(performance.now() - before);
    checkSame(value, VALUES.small(i), `key ${i}`);
  }
  check(cache.health().log.head === count, 'the log is not whole');
  await cache.shutdown();
  const [first, ...others] = times;
  return { open, first, next: others.sort((a, b) => a - b)[others.length >> 1] };
}

async function readAll(dataDir, { count }) {
  const { ClassicLevel } = await import('classic-level');
  const began = performance.now();
  const db = new ClassicLevel(join(dataDir, 'db', 'index'), { keyEncoding: 'utf8', valueEncoding: 'buffer' });
  await db.open();
  const entries = new Map();
  for await (const [page, bytes] of db.iterator({ gte: '!state!p/', lt: '!state!p0' })) {
    const namespace = page.slice(0, page.lastIndexOf('/'));
    for (const [key, stored] of decodePage(bytes)) entries.set(`${namespace} ${key}`, decodeEntry(stored));
  }
  const open = performance.now() - began;
  checkSame(entries.size, count, 'the number of entries');
  await db.close();
  return { open };
}
