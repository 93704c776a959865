// Measures the work of every node for a command of another node: decoding, deciding and applying. The commands come from memory, so
// that no server is measured.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, checkSame } from './lib/check.mjs';
import { loadMessages, openOn, RecordedStream, saveMessages } from './lib/cluster/recorded-stream.mjs';
import { collectYoung } from './lib/passes.mjs';
import { VALUES } from './lib/values.mjs';

const IN_FLIGHT = 256;
const NAMESPACES = 100;
const placeOf = (i, keys) => [`agent/${i % NAMESPACES}`, `key-${Math.floor((i % keys) / NAMESPACES)}`];

export default {
  order: 17.2,
  title: 'a cluster: applying',
  about: 'a `set` of a small object by another node, until this node has it, in nanoseconds of the processor',
  metrics: {
    ns: { unit: 'ns', better: 'less', what: 'main thread' },
    all: { unit: 'ns', better: 'less', what: 'all threads' },
  },
  cases: ({ quick }) => {
    const applied = (keys, isOnDisk, rest) => {
      const shown = keys >= 1e6 ? `${keys / 1e6} million` : `${keys / 1e3} thousand`;
      const where = isOnDisk ? 'with a data directory' : 'in memory';
      const commands = quick ? 2_000 : 300_000;
      return { name: `${where}, ${shown} keys`, keys, isOnDisk, commands, ...rest };
    };
    if (quick) return [applied(1_000, false), applied(1_000, true)];
    const first = applied(10_000, false, {
      headline: true,
      goals: [{ metric: 'ns', atMost: 1_000, text: 'at most 1 µs' }],
    });
    const onDisk = { headline: true, goals: [{ flat: 1.5, from: first.name, text: 'at most 1.5× of in memory' }] };
    return [
      first,
      applied(10_000, true, onDisk),
      ...[1_000, 100_000, 1_000_000].map((keys) => applied(keys, false, { goals: [] })),
    ];
  },
  candidates: [{ name: 'agent-context-cache', role: 'ours' }],
  /** Records the messages of a node that writes each key once, and then the commands that are measured. */
  async prepare({ dir, case: { keys, commands } }) {
    const stream = new RecordedStream();
    const cache = await openOn(stream, { node: 'writer' });
    await write(cache, 0, keys, keys);
    const filled = stream.messages.length;
    await write(cache, keys, commands, keys);
    const half = stream.messages.length;
    await write(cache, keys + commands, commands, keys);
    await cache.barrier();
    const file = join(dir, 'messages');
    saveMessages(file, stream.messages);
    const { position } = cache;
    await cache.shutdown({ timeoutMs: 60_000 });
    return { file, filled, half, position };
  },
  async measure({ dir, case: { keys, isOnDisk, commands }, prepared: { file, half, position } }) {
    const messages = loadMessages(file);
    const all = messages.length;
    const stream = new RecordedStream(messages);
    const opening = openOn(stream, { node: 'reader', dataDir: isOnDisk ? join(dir, 'data') : undefined });
    // Fills, and warms up with as many commands as are measured.
    await stream.play(half);
    collectYoung();
    const before = process.cpuUsage();
    const own = ofThisThread();
    await stream.play(all);
    const ns = (ofThisThread() - own) / commands;
    const { user, system } = process.cpuUsage(before);
    await stream.play(messages.length);
    const cache = await opening;
    checkSame(cache.position, position, 'the position');
    check(position === keys + 2 * commands, `the writer ended at ${position}`);
    for (let i = position - 1; i > position - 200; i -= 1) {
      const [namespace, key] = placeOf(i, keys);
      checkSame(cache.get(key, namespace), VALUES.small(i), `command ${i}`);
    }
    await cache.shutdown({ timeoutMs: 60_000 });
    const result = { all: ((user + system) * 1_000) / commands };
    return Number.isNaN(ns) ? { ns: result.all, ...result } : { ns, ...result };
  },
  plots: ({ cases }) => ({
    keys: {
      title: 'applying a command of another node, by keys',
      x: 'keys on each node, in memory',
      y: 'nanoseconds of the main thread',
      lines: ['ns', 'all'].map((metric) => ({
        name: metric === 'ns' ? 'main thread' : 'all threads',
        points: cases
          .filter(({ parameters }) => !parameters.isOnDisk)
          .flatMap(({ parameters, candidates: [own] }) => {
            const value = own.metrics?.[metric].median;
            return value === undefined ? [] : [[parameters.keys, value]];
          })
          .sort(([a], [b]) => a - b),
      })),
    },
  }),
};

async function write(cache, from, many, keys) {
  let next = from;
  const worker = async () => {
    while (next < from + many) {
      const i = next;
      next += 1;
      const [namespace, key] = placeOf(i, keys);
      await cache.set(key, VALUES.small(i), namespace);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

/** Returns the nanoseconds of the processor that the main thread has used; NaN if the system does not say. */
function ofThisThread() {
  if (process.platform !== 'linux') return Number.NaN;
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]);
}
