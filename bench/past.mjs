// How long it takes to look at one namespace as it was, in a long log over many namespaces, wherever the position.
// After `npm run build`: `node bench/past.mjs [updates] [namespaces]`
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentContextCache } from 'agent-context-cache';

const updates = Number(process.argv[2] ?? 200_000);
const namespaces = Number(process.argv[3] ?? 1_000);
const LOOKS = 1_000;

let seed = 1;
/** The same numbers every time. */
function random(below) {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  // The low digits of such a sequence repeat soon.
  return Math.floor((seed / 2 ** 32) * below);
}

function share(sorted, part) {
  return `${(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0).toFixed(2)} ms`;
}

const dataDir = await mkdtemp(join(tmpdir(), 'bench-past-'));
const cache = await AgentContextCache.open({ dataDir, durability: 'memory' });
const text = 'x'.repeat(200);
let began = performance.now();
for (let i = 0; i < updates; i += 1) {
  // A tenth of the namespaces get half of the updates.
  const namespace = i % 2 === 0 ? random(namespaces / 10) : random(namespaces);
  void cache.set(`k${random(50)}`, { i, text }, `agent/${namespace}`, { agent: 'bench' });
  if (i % 2_000 === 0) await cache.flush();
}
await cache.flush();
const written = performance.now() - began;
await cache.synced({ timeoutMs: 600_000 });
const checkpointed = performance.now() - began;
console.log(
  `${updates} updates over ${namespaces} namespaces: written in ${written.toFixed(0)} ms, ` +
    `in the state table and its past after ${checkpointed.toFixed(0)} ms`,
);

let bytes = 0;
for (const file of await readdir(join(dataDir, 'db'))) bytes += (await stat(join(dataDir, 'db', file))).size;
console.log(`the directory takes ${(bytes / 1e6).toFixed(0)} MB`);

const looks = { 'a namespace (entries)': [], 'one key (get)': [], 'a Date': [] };
for (let i = 0; i < LOOKS; i += 1) {
  for (const [kind, times] of Object.entries(looks)) {
    const position = random(cache.position + 1);
    const namespace = `agent/${random(namespaces)}`;
    began = performance.now();
    if (kind === 'a Date') cache.at(new Date(Date.now() - random(10_000))).get('k1', namespace);
    else if (kind === 'one key (get)') cache.at(position).get('k1', namespace);
    else cache.at(position).entries(namespace);
    times.push(performance.now() - began);
  }
}
for (const [kind, times] of Object.entries(looks)) {
  times.sort((a, b) => a - b);
  console.log(`${kind}: p50 ${share(times, 0.5)}, p99 ${share(times, 0.99)}, slowest ${share(times, 1)}`);
}
const lists = Array.from({ length: 50 }, () => {
  began = performance.now();
  cache.at(random(cache.position + 1)).listNamespaces();
  return performance.now() - began;
}).sort((a, b) => a - b);
console.log(`listNamespaces: p50 ${share(lists, 0.5)}, slowest ${share(lists, 1)}`);
began = performance.now();
const culprit = await cache.bisect((view) => view.position < updates / 3);
console.log(`bisect: ${culprit?.views} views in ${(performance.now() - began).toFixed(1)} ms`);
await cache.shutdown();
await rm(dataDir, { recursive: true });
