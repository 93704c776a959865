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
    // More in each round than LevelDB keeps in memory (4 MiB). It writes what it has before it takes the round after the
    // next one, so all rounds but the last two are in tables.
    for (let round = 0; round < 5; round += 1) {
      for (let i = 0; i < 12; i += 1) {
        const keys = Array.from({ length: 20 }, (_, k) => `${round}/${i}/${k}`);
        await cache.setMany(keys.map((key) => [key, `${Math.random()}`.padEnd(20, '0').repeat(1_000)]));
      }
      await cache.synced();
    }
    await cache.backup();
  }
  say({ opened: true });
  if (what !== 'try') for await (const _ of createInterface(process.stdin)) break;
  await cache.shutdown();
} catch (error) {
  const { user, system } = process.cpuUsage(began);
  say({ code: error.code, message: error.message, ms: (user + system) / 1_000 });
}
