// Measures how fast a recorded log becomes state again. The limit decodes the same records and puts them into Maps.
import { createReadStream, createWriteStream } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { checkSame, sample } from './lib/check.mjs';
import { filledCache } from './lib/directory.mjs';
import { nodeFiles, replay, Segments } from './lib/ours.mjs';
import { makeSpace } from './lib/space.mjs';
import { VALUES } from './lib/values.mjs';

export default {
  order: 10,
  title: 'replay',
  about: 'updates a second from a recorded log into a cache in memory',
  metrics: { rate: { unit: '/s', better: 'more', what: '' } },
  ratioStyle: 'share',
  goals: [{ ofLimit: 0.5, text: '50 % of decoding the records and putting them into Maps' }],
  cases: ({ quick }) => {
    const updates = quick ? 3_000 : 300_000;
    return [
      { name: 'of an exported log', headline: true, source: 'file', updates, namespaces: 1_000 },
      { name: 'of a data directory', headline: true, source: 'directory', updates, namespaces: 1_000 },
    ];
  },
  candidates: [
    { name: 'decode and Map.set', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
  ],
  async prepare({ dir, case: { updates, namespaces }, seed }) {
    const dataDir = join(dir, 'data');
    const file = join(dir, 'run.ndjson');
    const cache = await filledCache(dataDir, makeSpace({ keys: updates, namespaces }, seed), VALUES.small);
    const out = createWriteStream(file);
    for await (const update of cache.readLog()) out.write(`${JSON.stringify(exported(update))}\n`);
    await new Promise((resolve) => out.end(resolve));
    await cache.shutdown({ timeoutMs: 60_000 });
    return { dataDir, file };
  },
  async measure({ candidate, case: { source, updates, namespaces }, dir, prepared, seed }) {
    const space = makeSpace({ keys: updates, namespaces }, seed);
    let from = prepared.file;
    if (source === 'directory') {
      from = join(dir, 'data');
      await cp(prepared.dataDir, from, { recursive: true });
    }
    const began = performance.now();
    const read = await READERS[`${candidate}, ${source}`](from, updates);
    const rate = (updates / (performance.now() - began)) * 1_000;
    for (const i of sample(updates)) {
      checkSame(read.get(space.namespaceOf[i], space.keyOf[i]), VALUES.small(i), `entry ${i}`);
    }
    await read.close?.();
    return { rate };
  },
};

/** Returns the log as `context-cache log` prints it. */
function exported({ position, namespace, version, operation, key, value, at, agent }) {
  return { position, namespace, version, operation, key, value, at, agent };
}

async function replayed(source) {
  const { cache } = await replay(source, { natsUrl: null });
  return { get: (namespace, key) => cache.get(key, namespace), close: () => cache.shutdown() };
}

function maps() {
  const namespaces = new Map();
  return {
    put({ namespace, key, value }) {
      let entries = namespaces.get(namespace);
      if (entries === undefined) {
        entries = new Map();
        namespaces.set(namespace, entries);
      }
      entries.set(key, value);
    },
    get: (namespace, key) => namespaces.get(namespace)?.get(key),
  };
}

const READERS = {
  'agent-context-cache, file': replayed,
  'agent-context-cache, directory': replayed,

  'decode and Map.set, file': async (file) => {
    const { put, get } = maps();
    for await (const line of createInterface({ input: createReadStream(file) })) put(JSON.parse(line));
    return { get };
  },

  'decode and Map.set, directory': async (dataDir, updates) => {
    const directory = join(dataDir, 'db', 'log');
    const segments = new Segments(nodeFiles, directory, await Segments.list(nodeFiles, directory));
    const { put, get } = maps();
    for (let next = 1; next <= updates; ) {
      for (const update of segments.read(next, updates)) {
        put(update);
        next += 1;
      }
    }
    segments.close();
    return { get };
  },
};
