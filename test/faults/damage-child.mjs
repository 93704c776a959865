// Opens a data directory, as another process or another user: `node damage-child.mjs DIST DATA_DIR (try|hold|fill)`.
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [, , dist, dataDir, what] = process.argv;
const { AgentContextCache } = await import(pathToFileURL(`${dist}/src/index.js`).href);
await import('classic-level');

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
if (what === 'fill') process.umask(0);
const began = performance.now();
try {
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  if (what === 'fill') {
    for (let i = 0; i < 60; i += 1) {
      await cache.setMany(Array.from({ length: 20 }, (_, k) => [`${i}/${k}`, `${Math.random()}`.repeat(400)]));
    }
    await cache.synced();
    await cache.backup();
  }
  say({ opened: true });
  if (what !== 'try') for await (const _ of createInterface(process.stdin)) break;
  await cache.shutdown();
} catch (error) {
  say({ code: error.code, message: error.message, ms: performance.now() - began });
}
