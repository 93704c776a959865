// Measures how fast a snapshot is restored. The limit reads and decodes its parts and puts the entries into Maps.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkSame, sample } from './lib/check.mjs';
import { AgentContextCache, DirectorySnapshotStore, decode, decodePart } from './lib/ours.mjs';
import { makeSpace } from './lib/space.mjs';
import { VALUES } from './lib/values.mjs';

export default {
  order: 11,
  title: 'restore',
  about: 'entries a second from a snapshot in a directory into a cache in memory',
  metrics: { rate: { unit: '/s', better: 'more', what: '' } },
  ratioStyle: 'share',
  goals: [{ ofLimit: 0.5, text: '50 % of decoding the parts and putting the entries into Maps' }],
  cases: ({ quick }) => [
    quick
      ? { name: '5,000 keys', keys: 5_000, namespaces: 10 }
      : { name: '300 thousand keys in 100 namespaces', headline: true, keys: 300_000, namespaces: 100 },
  ],
  candidates: [
    { name: 'decode and Map.set', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
  ],
  async prepare({ dir, case: oneCase, seed }) {
    const space = makeSpace(oneCase, seed);
    const cache = new AgentContextCache({ natsUrl: null, backup: { store: new DirectorySnapshotStore(dir) } });
    for (let i = 0; i < space.count; i += 1) {
      cache.set(space.keyOf[i], VALUES.small(i), space.namespaceOf[i]);
      if (i % 1_000 === 999) await nextTurn();
    }
    await cache.backup();
    await cache.shutdown();
  },
  async measure({ candidate, case: oneCase, shared, seed }) {
    const space = makeSpace(oneCase, seed);
    const began = performance.now();
    const read = await READERS[candidate](shared);
    const rate = (space.count / (performance.now() - began)) * 1_000;
    for (const i of sample(space.count)) {
      checkSame(read.get(space.namespaceOf[i], space.keyOf[i]), VALUES.small(i), `entry ${i}`);
    }
    await read.close?.();
    return { rate };
  },
};

const READERS = {
  'agent-context-cache': async (folder) => {
    const cache = await AgentContextCache.open({ restoreFrom: folder, natsUrl: null });
    return { get: (namespace, key) => cache.get(key, namespace), close: () => cache.shutdown() };
  },

  'decode and Map.set': (folder) => {
    const manifest = readdirSync(folder).find((name) => name.startsWith('snapshot-'));
    const suffix = manifest.slice(manifest.lastIndexOf('.'));
    const { body } = decode(readFileSync(join(folder, manifest)));
    const namespaces = new Map();
    for (const { name, parts } of decode(body).namespaces) {
      const entries = new Map();
      for (const { id } of parts) decodePart(readFileSync(join(folder, id + suffix)), entries);
      namespaces.set(name, entries);
    }
    return { get: (namespace, key) => namespaces.get(namespace)?.get(key)?.value };
  },
};
