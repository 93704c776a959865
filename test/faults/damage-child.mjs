// Opens a data directory, as another process or another user: `node damage-child.mjs DIST DATA_DIR (try|hold|fill)`.
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [, , dist, dataDir, what] = process.argv;
const { AgentContextCache } = await import(pathToFileURL(`${dist}/src/index.js`).href);
await import('classic-level');

// A refusal waits for no timer, so none fires. It is measured in processor time, because the machine may be busy.
const timeless = { now: () => Date.now(), setTimeout: () => undefined, clearTimeout() {} };

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
if (what === 'fill') process.umask(0);
const began = process.cpuUsage();
try {
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null, ...(what === 'try' && { clock: timeless }) });
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
  const { user, system } = process.cpuUsage(began);
  say({ code: error.code, message: error.message, ms: (user + system) / 1_000 });
}
