// A process with a cache and its inspector, controlled by messages of its parent.
// fork(live-child.mjs, [DIST, OPTIONS of the cache as JSON, OPTIONS of the inspector as JSON, MODULE with further options of the cache])
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, cacheOptions, inspectorOptions, module] = process.argv.slice(2);
const from = (file) => import(pathToFileURL(join(dist, 'src', file)).href);
const { AgentContextCache } = await from('index.js');
const { startInspector } = await from('inspector.js');
const cache = await AgentContextCache.open({
  ...JSON.parse(cacheOptions),
  ...(module && (await import(pathToFileURL(module).href)).default),
});
const inspector = await startInspector(cache, JSON.parse(inspectorOptions));

const actions = {
  /** One command, or several at once. */
  ask: (commands) => Promise.all([commands].flat().map((command) => cache.ask(command))),
  /** Executes the commands of a file, up to line `to`. */
  async apply({ file, to = Number.POSITIVE_INFINITY }) {
    const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean).slice(0, to);
    await Promise.all(lines.map((line) => cache.ask(JSON.parse(line))));
    return cache.position;
  },
  /** Writes in bursts without waiting. Resolves when the last write is committed. */
  async flood({ namespaces, updates, from = 0, bytes = 40 }) {
    let last;
    for (let number = from; number < from + updates; number += 1) {
      const value = { number, text: 'x'.repeat(bytes) };
      const namespace = `load:${String(number % namespaces).padStart(6, '0')}`;
      last = cache.set(`key:${number % 50}`, value, namespace, { agent: `agent-${number % 7}` });
      if (number % 500 === 499) await new Promise(setImmediate);
    }
    await last;
    return cache.position;
  },
  async shutdown() {
    await cache.shutdown();
    process.disconnect();
  },
};

process.on('message', async ({ id, action, argument }) => {
  try {
    process.send({ id, answer: (await actions[action](argument)) ?? null });
  } catch (error) {
    // Without a channel the parent no longer waits.
    if (process.connected) process.send({ id, error: String(error?.message ?? error) });
  }
});
process.on('disconnect', () => process.exit());
process.send({ id: 0, answer: inspector.url });
