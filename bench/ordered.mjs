// Measures reads in order: what the first one costs, which creates the index, what each further one costs, and what the index
// costs a write of a new key.
import { checkSame } from './lib/check.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { nanosecondsPerOperation, paceOf } from './lib/passes.mjs';
import { randomFrom } from './lib/random.mjs';

const FIRST = 10;
const NEWEST_OF = 4_000;

export default {
  order: 19,
  title: 'reads in order',
  about: 'nanoseconds of the processor for a part of a namespace, or of the names, in order',
  metrics: {
    first: { unit: 'ns', better: 'less', what: `first ${FIRST} entries` },
    newest: { unit: 'ns', better: 'less', what: 'newest of 4,000' },
    names: { unit: 'ns', better: 'less', what: `first ${FIRST} namespaces by prefix` },
    build: { unit: 'ms', better: 'less', what: 'first read of all' },
    add: { unit: 'ns', better: 'less', what: 'set of a new key' },
    addPlain: { unit: 'ns', better: 'less', what: 'the same without the index' },
  },
  goals: [
    { metric: 'first', atMost: 100_000, text: 'first 10 within 0.1 ms' },
    { metric: 'newest', atMost: 20_000, text: 'newest of 4,000 within 20 µs' },
    { metric: 'names', atMost: 100_000, text: 'first 10 namespaces by prefix within 0.1 ms' },
  ],
  cases: ({ quick }) => [
    quick ? { name: '2,000 keys', count: 2_000 } : { name: '100 thousand keys', headline: true, count: 100_000 },
  ],
  candidates: [{ name: 'agent-context-cache', role: 'ours' }],
  async measure({ case: { count }, seed, scale }) {
    const cache = new AgentContextCache();
    const random = randomFrom(seed);
    const pace = paceOf(scale);
    const keys = Array.from({ length: count }, (_, i) => keyOf(i));
    for (let i = count - 1; i > 0; i -= 1) {
      const other = random.below(i + 1);
      [keys[i], keys[other]] = [keys[other], keys[i]];
    }
    for (const key of keys) cache.set(key, 1, 'ordered');
    for (const key of keys) cache.set(key, 1, 'plain');
    for (let i = 0; i < NEWEST_OF; i += 1) cache.set(keyOf(i), i, 'messages');
    for (const key of keys) cache.set('key', 1, ['user', key]);
    await cache.flush();

    const before = process.cpuUsage();
    checkSame(
      cache.listKeys('ordered', { limit: FIRST }),
      Array.from({ length: FIRST }, (_, i) => keyOf(i)),
      'the first keys',
    );
    const { user, system } = process.cpuUsage(before);
    cache.listNamespaces({ limit: 1 });

    let read = 0;
    const first = await costOf(pace, (i) => {
      for (const { value } of cache.entries('ordered', { from: keys[i % count], limit: FIRST })) read += value;
    });
    let newestRead = 0;
    const newest = await costOf(pace, () => {
      for (const { value } of cache.entries('messages', { reverse: true, limit: 1 })) newestRead += value;
    });
    checkSame(newestRead % (NEWEST_OF - 1), 0, 'the newest value');
    let listed = 0;
    const names = await costOf(pace, (i) => {
      listed += cache.listNamespaces({ prefix: `user/${keys[i % count].slice(0, -2)}`, limit: FIRST }).length;
    });
    if (read === 0 || listed === 0) throw new Error('nothing was read');

    const add = await costOf(pace, (i) => void cache.set(`${keys[i % count]} more ${i}`, 1, 'ordered'));
    const addPlain = await costOf(pace, (i) => void cache.set(`${keys[i % count]} more ${i}`, 1, 'plain'));
    await cache.shutdown();
    return { first, newest, names, build: (user + system) / 1e3, add, addPlain };
  },
};

function keyOf(i) {
  return `message:${String(i).padStart(9, '0')}`;
}

/** Returns nanoseconds of the processor for one call of `run`. */
async function costOf(pace, run) {
  const many = (from, count) => {
    for (let i = from; i < from + count; i += 1) run(i);
  };
  const { ns } = await nanosecondsPerOperation(many, pace, 10_000);
  return ns;
}
