// Writes while Redis and NATS are stopped and prints the memory that this costs, as one line of JSON.
// node --expose-gc memory-child.mjs '{ "dist", "redisUrl", "natsUrl", "dataDir"?, "updates", "perSecond"?, "leak"? }'
// Prints a line when both servers have everything so far, and starts writing when it reads one.
import { once } from 'node:events';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const { dist, redisUrl, natsUrl, dataDir, updates, perSecond, leak } = JSON.parse(process.argv[2]);
const { AgentContextCache } = await import(pathToFileURL(join(dist, 'src/index.js')).href);

const NAMESPACES = 20;
const KEYS = 200;
const TURN = 4_000;

const cache = await AgentContextCache.open({ dataDir, redisUrl, natsUrl, topics: ['t'], onError: () => {} });
const kept = [];
if (leak) cache.subscribe((update) => kept.push(update));

let written = 0;
function write(count) {
  for (let i = 0; i < count; i += 1) {
    written += 1;
    const value = { n: written, text: `something that an agent has found out, number ${written}` };
    void cache.set(`key-${written % KEYS}`, value, `space-${Math.floor(written / KEYS) % NAMESPACES}`);
  }
}

/** Bytes in use after garbage collection. */
async function inUse() {
  for (let i = 0; i < 4; i += 1) {
    await nextTurn();
    globalThis.gc();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function writeAll() {
  const began = performance.now();
  for (let left = updates; left > 0; left -= TURN) {
    write(Math.min(TURN, left));
    await cache.flush();
    if (perSecond !== undefined) {
      await sleep(Math.max(0, began + ((updates - left + TURN) / perSecond) * 1_000 - performance.now()));
    } else await nextTurn();
  }
}

// Everything that exists once exists before the measurement: every key, and a full ring.
for (let i = 0; i < 6; i += 1) {
  write(TURN);
  await cache.flush();
}
await cache.synced();
console.log('ready');
await once(process.stdin, 'data');
const before = await inUse();
await writeAll();
const after = await inUse();
const lag = Math.min(
  ...cache
    .health()
    .followers.filter(({ name }) => /mirror|broadcaster/.test(name))
    .map((f) => f.lag),
);
console.log(JSON.stringify({ before, after, lag, kept: kept.length }));
process.exit();
