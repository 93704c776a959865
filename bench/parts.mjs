// Measures where the processor time of a durable write goes: each candidate does what the one before it does, and one part
// more. So the difference of two candidates is the time of a part.
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, checkSame } from './lib/check.mjs';
import {
  AgentContextCache,
  applyLines,
  createUpdate,
  encodeFrame,
  nodeFiles,
  splitLines,
  writeUpdate,
} from './lib/ours.mjs';
import { makeStore } from './lib/stores.mjs';
import { VALUES } from './lib/values.mjs';

const KEYS = Array.from({ length: 10_000 }, (_, i) => `key-${i}`);
const NAMESPACES = Array.from({ length: 100 }, (_, i) => `agent/${i}`);
const placeOf = (i) => [NAMESPACES[i % 100], KEYS[i % KEYS.length]];
/** Updates of a group of the limit that applies a file. */
const GROUP = 4_096;

export default {
  order: 6.5,
  title: 'the parts of a durable write',
  about:
    'processor time of the writing thread, and of all threads of the process, for a write; the start of the process and the code that is compiled meanwhile count too, the shutdown does not',
  metrics: {
    thread: { unit: 'ns', better: 'less', what: 'writing thread' },
    process: { unit: 'ns', better: 'less', what: 'all threads' },
  },
  cases: ({ quick }) => {
    const writes = quick ? 4_000 : 200_000;
    return [
      { name: 'a command of a file', writes },
      { name: 'a write, 256 in flight', writes, inFlight: 256 },
      { name: 'a write, 4,096 in flight', writes, inFlight: 4_096 },
    ];
  },
  candidates: [
    { name: 'lines of the file', role: 'yardstick', suits: ({ inFlight }) => inFlight === undefined },
    { name: '+ JSON.parse', role: 'yardstick', suits: ({ inFlight }) => inFlight === undefined },
    { name: 'values and promises', role: 'yardstick', suits: ({ inFlight }) => inFlight !== undefined },
    { name: '+ nested Map', role: 'yardstick' },
    { name: '+ encode and write', role: 'limit' },
    { name: 'agent-context-cache in memory', role: 'yardstick' },
    { name: 'agent-context-cache', role: 'ours' },
  ],
  prepare({ dir, case: { writes, inFlight } }) {
    const file = join(dir, 'commands.ndjson');
    if (inFlight !== undefined) return file;
    const lines = Array.from({ length: writes }, (_, i) => {
      const [namespace, key] = placeOf(i);
      return `${JSON.stringify({ type: 'context.set', namespace, key, value: VALUES.small(i) })}\n`;
    });
    writeFileSync(file, lines.join(''));
    return file;
  },
  async measure({ candidate, dir, case: { writes, inFlight }, prepared }) {
    const store = await STORES[candidate](dir);
    const [thread, process] = [ofThisThread(), ofProcess()];
    if (inFlight !== undefined) await inTurns(writes, inFlight, store);
    else if (store.apply !== undefined) await store.apply(prepared);
    else await applied(prepared, store);
    await store.flush?.();
    const result = { thread: (ofThisThread() - thread) / writes, process: (ofProcess() - process) / writes };
    if (store.get !== undefined) {
      for (let i = writes - 100; i < writes; i += 1) checkSame(store.get(...placeOf(i)), VALUES.small(i), `write ${i}`);
    }
    checkSame(store.count ?? writes, writes, 'the number of writes');
    await store.close?.();
    return result;
  },
};

/** Nanoseconds of the processor that the main thread has used. Only Linux knows; elsewhere NaN. */
function ofThisThread() {
  if (process.platform !== 'linux') return Number.NaN;
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]);
}

function ofProcess() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1_000;
}

const linesOf = (file) => splitLines(createReadStream(file, { highWaterMark: 256 * 1024 }));

/** Puts the commands of a file into a store. */
async function applied(file, store) {
  for await (const lines of linesOf(file)) {
    for (const { text } of lines) {
      const { namespace, key, value } = JSON.parse(text);
      store.set?.(namespace, key, value);
    }
  }
}

/** Keeps a number of writes in flight until all are done. */
async function inTurns(writes, inFlight, store) {
  let next = 0;
  const writer = async () => {
    while (next < writes) {
      const i = next;
      next += 1;
      await store.set(...placeOf(i), VALUES.small(i));
    }
  };
  await Promise.all(Array.from({ length: inFlight }, writer));
}

/** A nested Map that answers with a promise, as the cache does. */
function maps() {
  const { set, get } = makeStore('nested Map');
  return {
    get,
    set(namespace, key, value) {
      set(namespace, key, value);
      return Promise.resolve();
    },
  };
}

/** Maps, and a file that holds each write before its promise resolves. A group is written while the next one gathers. */
async function written(dir) {
  const { set, get } = makeStore('nested Map');
  const file = await nodeFiles.create(join(dir, 'raw.log'), true);
  let [count, end, group] = [0, 0, []];
  let writing;
  const write = async () => {
    await new Promise(setImmediate);
    while (group.length > 0) {
      const taken = group;
      group = [];
      const header = { position: taken[0].update.position, flags: 0, synced: 0, count: taken.length };
      const frame = encodeFrame(header, (to) => {
        for (const { update } of taken) writeUpdate(to, update);
      });
      await file.write([frame], end);
      end += frame.length;
      for (const { resolve } of taken) resolve();
      await new Promise(setImmediate);
    }
    writing = undefined;
  };
  const put = (namespace, key, value) => {
    set(namespace, key, value);
    count += 1;
    const update = createUpdate({ namespace, version: count, operation: 'set', key, value, at: Date.now(), bytes: 64 });
    update.position = count;
    return update;
  };
  return {
    get,
    get count() {
      return count;
    },
    set(namespace, key, value) {
      const update = put(namespace, key, value);
      const done = new Promise((resolve) => group.push({ update, resolve }));
      writing ??= write();
      return done;
    },
    // Without a promise for each command.
    async apply(path) {
      for await (const lines of linesOf(path)) {
        for (const { text } of lines) {
          const { namespace, key, value } = JSON.parse(text);
          group.push({ update: put(namespace, key, value), resolve() {} });
          if (group.length < GROUP) continue;
          await writing;
          writing = write();
        }
      }
      await writing;
      await write();
    },
    async close() {
      await writing;
      await file.close();
    },
  };
}

function cached(cache) {
  return {
    set: (namespace, key, value) => cache.set(key, value, namespace),
    get: (namespace, key) => cache.get(key, namespace),
    get count() {
      return cache.position;
    },
    async apply(file) {
      const options = { cache, lines: linesOf(file), keepGoing: false, cancel() {}, onOutcomes() {} };
      check((await applyLines(options)).failed === 0, 'a command failed');
    },
    flush: () => cache.flush(),
    close: () => cache.shutdown({ timeoutMs: 60_000 }),
  };
}

const STORES = {
  'lines of the file': () => ({
    async apply(file) {
      for await (const lines of linesOf(file)) this.count += lines.length;
    },
    count: 0,
  }),
  '+ JSON.parse': () => ({}),
  'values and promises': () => ({ set: () => Promise.resolve() }),
  '+ nested Map': maps,
  '+ encode and write': written,
  'agent-context-cache in memory': () => cached(new AgentContextCache({ natsUrl: null })),
  'agent-context-cache': async (dir) =>
    cached(await AgentContextCache.open({ dataDir: join(dir, 'data'), natsUrl: null })),
};
