// A node in a process of its own that does what a test asks, faults included.
import { pathToFileURL } from 'node:url';
import { INTERNALS } from '../../../dist/test/support/internals.js';

const { build = 'agent-context-cache', ...options } = JSON.parse(process.argv[2]);
// Another build of the package, by its folder.
const entry = build.startsWith('/') ? pathToFileURL(`${build}/dist/src/index.js`).href : build;
const { AgentContextCache } = await import(entry);
const cache = await AgentContextCache.open({ natsUrl: null, onError: () => {}, ...options });

const ANSWERS = {
  /** Writes keys, a few at a time, until all have an answer. Returns those that were acknowledged. */
  async write({ prefix, count }) {
    const done = [];
    let next = 0;
    const worker = async () => {
      while (next < count) {
        const key = `${prefix}-${next}`;
        next += 1;
        await cache.set(key, next, 'all').then(
          () => done.push(key),
          () => {},
        );
      }
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    return done;
  },
  /** Changes one bit of the memory: that of a version. */
  flip() {
    const { state } = cache[INTERNALS].parts.registry.find('all');
    state.version ^= 1;
  },
  async barrier() {
    await cache.barrier();
  },
  async raise({ protocol }) {
    return (await cache.ask({ type: 'cluster.raise', protocol })).protocol;
  },
  reached: ({ position }) => cache.reached(position),
  health: () => cache.health(),
  async state() {
    return { digest: await cache.digest(), position: cache.position, keys: cache.listKeys('all') };
  },
  get({ key }) {
    return cache.get(key, 'all');
  },
  async close() {
    await cache.shutdown({ timeoutMs: 2_000 });
  },
};

// A child that its test has lost must not go on.
process.on('disconnect', () => process.exit(1));
process.on('message', async ({ id, ask, ...details }) => {
  try {
    process.send({ id, result: (await ANSWERS[ask](details)) ?? null });
  } catch (error) {
    process.send({ id, error: { code: error.code, message: error.message } });
  }
});
process.send({ ready: true });
