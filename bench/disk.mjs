// Measures the bytes on disk of a million updates that change ten thousand keys, log and index together, after a clean shutdown.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checkSame } from './lib/check.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { bytesInLog, updateOf } from './lib/updates.mjs';
import { VALUES } from './lib/values.mjs';

const KEYS = 10_000;
const placeOf = (i) => [`agent/${i % 100}`, `key-${i % KEYS}`];

export default {
  order: 10.5,
  title: 'disk',
  about: 'bytes of a data directory after a shutdown; the limit is the bytes of the updates alone',
  metrics: { disk: { unit: 'bytes', better: 'less', what: '' } },
  // 60 % of the 61 MB that the files before these took.
  goals: [{ metric: 'disk', atMost: 36_600_000, text: 'at most 36.6 MB' }],
  cases: ({ quick }) => [
    quick
      ? { name: '20 thousand updates of 10 thousand keys', updates: 20_000 }
      : { name: '1 million updates of 10 thousand keys', headline: true, updates: 1_000_000 },
  ],
  candidates: [
    { name: 'bytes of the updates', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
  ],
  async measure({ candidate, dir, case: { updates } }) {
    if (candidate === 'bytes of the updates') {
      const some = Array.from({ length: 1_000 }, (_, i) => updateOf(i, ...placeOf(i), VALUES.small(i)));
      return { disk: bytesInLog(some) * updates };
    }
    const dataDir = join(dir, 'data');
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    let next = 0;
    const worker = async () => {
      while (next < updates) {
        const i = next;
        next += 1;
        const [namespace, key] = placeOf(i);
        await cache.set(key, VALUES.small(i), namespace);
      }
    };
    await Promise.all(Array.from({ length: 4_096 }, worker));
    checkSame(cache.position, updates, 'the position');
    await cache.shutdown({ timeoutMs: 120_000 });
    return { disk: bytesIn(join(dataDir, 'db')) };
  },
};

function bytesIn(directory) {
  let bytes = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath ?? entry.path, entry.name)).size;
  }
  return bytes;
}
