// Works two caches hard, one in memory and one durable, and prints at intervals what it uses: see level.ts.
// node --expose-gc soak-child.mjs '{ "dist", "redisUrl", "natsUrl", "dataDir", "seed", "samples", "everyMs", "leak"? }'
// Prints one sample a line, then waits for a line, and prints "synced" once both have delivered
// everything and are shut down.
import { once } from 'node:events';
import { openSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const { dist, redisUrl, natsUrl, dataDir, seed, samples, everyMs, leak } = JSON.parse(process.argv[2]);
const load = (path) => import(pathToFileURL(join(dist, path)).href);
const { AgentContextCache, RedisContextCache } = await load('src/index.js');
const { MemorySnapshotStore } = await load('src/backup.js');

const LIVE_NAMESPACES = 30;
const TICK_MS = 10;

let state = seed >>> 0;
function below(limit) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state >>> 8) % limit;
}

/** The caches' clock, which counts the timers under way. */
const timers = new Set();
const clock = {
  now: () => Date.now(),
  setTimeout(callback, delayMs) {
    const timer = setTimeout(() => timers.delete(timer) && callback(), Math.min(delayMs, 2 ** 31 - 1));
    timers.add(timer);
    return timer;
  },
  clearTimeout(timer) {
    clearTimeout(timer);
    timers.delete(timer);
  },
  unref: (timer) => timer.unref(),
};

const common = {
  natsUrl,
  clock,
  onError: () => {},
  mirrorTimeoutMs: 1_000,
  backOff: { initialMs: 20, maximumMs: 500, stalledAfter: 5 },
};
const mirror = (prefix) => new RedisContextCache({ url: redisUrl, prefix, clock });
const backup = { enabled: true, mode: 'on_change', interval: 0.2, keep: 3 };
const caches = [
  new AgentContextCache({
    ...common,
    topics: ['soak.memory'],
    secondaryCache: mirror('memory/'),
    backup: { ...backup, store: new MemorySnapshotStore() },
    log: { capacityUpdates: 2_000 },
  }),
  await AgentContextCache.open({
    ...common,
    dataDir,
    topics: ['soak.durable'],
    secondaryCache: mirror('durable/'),
    backup,
    passivateAfterMs: 300,
    log: { keepUpdates: 20_000 },
  }),
];
/** Set if the log has retention. */
const retains = typeof caches[1].compact === 'function';

let born = 0;

/** Uses namespaces with new names, and drops them. */
function write(cache) {
  born += 1;
  cache.set('first', { born, text: 'x'.repeat(below(200)) }, `run-${born}`);
  cache.set('second', born, `run-${born}`, { ttl: 50 + below(500) });
  if (born > LIVE_NAMESPACES * caches.length) cache.dropNamespace(`run-${born - LIVE_NAMESPACES * caches.length}`);
  for (let i = 0; i < 8; i += 1)
    cache.set(`key-${below(100)}`, { n: born, list: [1, 2, below(9)] }, `stays-${below(5)}`);
  cache.delete(`key-${below(100)}`, `stays-${below(5)}`);
}

/** Takes views. Some are released, others are left to the garbage collector. */
function look(cache) {
  const { health: _, position } = cache;
  const view = cache.at(cache === caches[0] ? position : Math.max(cache.health().log.first, position - below(500)));
  view.get('key-1', 'stays-1');
  view.listKeys('stays-2');
  if (below(2) === 0) view[Symbol.dispose]();
}

/** Starts watchers that receive a little and stop. */
async function watch(cache) {
  const controller = new AbortController();
  const stop = cache.subscribe(() => {}, { namespace: `stays-${below(5)}` });
  const updates = cache.watch({ signal: controller.signal, namespace: `stays-${below(5)}` });
  await Promise.race([updates.next(), sleep(50)]);
  controller.abort();
  stop();
}

async function work(until) {
  while (Date.now() < until) {
    for (const cache of caches) {
      write(cache);
      if (below(5) === 0) look(cache);
      if (below(5) === 0) void watch(cache).catch(() => {});
      if (below(200) === 0) void cache.addTopic('soak.more').then(() => cache.removeTopic('soak.more'));
    }
    await sleep(TICK_MS);
  }
}

const planted = [];
function plant(n) {
  for (let i = 0; i < 5_000; i += 1) planted.push({ n, text: `kept for ever ${n} ${i}` });
  planted.push(createServer().listen(0, '127.0.0.1'), openSync('/dev/null'));
  setInterval(() => {}, 1_000_000);
  writeFileSync(join(dataDir, `left-${n}`), Buffer.alloc(4 * 1024 * 1024));
}

/** Returns the bytes of all files below. A file that is removed meanwhile counts as 0. */
function bytesIn(directory) {
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) bytes += entry.name === 'db' && !retains ? 0 : bytesIn(path);
    else bytes += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

function descriptors() {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return !readlinkSync(`/proc/self/fd/${fd}`).endsWith('.ldb');
    } catch {
      return false;
    }
  }).length;
}

async function sample() {
  for (let i = 0; i < 4; i += 1) {
    await nextTurn();
    globalThis.gc();
  }
  const { heapUsed, external } = process.memoryUsage();
  const resources = process.getActiveResourcesInfo();
  const handles = resources.filter((kind) => !/^(Timeout|Immediate|.*Req.*)$/.test(kind)).length;
  // The resources include those timers of the clock that keep the process alive. Counted twice, they would double the
  // effect of servers that come and go.
  const holding = [...timers].filter((timer) => timer.hasRef()).length;
  const others = resources.filter((kind) => kind === 'Timeout').length - holding;
  const files = bytesIn(dataDir);
  return { heap: heapUsed + external, handles, timers: timers.size + others, descriptors: descriptors(), files };
}

for (let n = 0; n < samples; n += 1) {
  await work(Date.now() + everyMs);
  if (leak) plant(n);
  console.log(JSON.stringify(await sample()));
}
await once(process.stdin, 'data');
for (const cache of caches) await cache.synced();
for (const cache of caches) await cache.shutdown();
console.log('synced');
process.exit();
