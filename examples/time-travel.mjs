// Reads the past: what the agents knew, who changed it, and which update broke it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentContextCache } from 'agent-context-cache';

const dataDir = await mkdtemp(join(tmpdir(), 'context-cache-'));
const cache = await AgentContextCache.open({ dataDir });

await cache.set('budget', 900, 'trip', { agent: 'planner' });
const { position } = await cache.set('offer', { flight: 'TP 258', price: 780 }, 'trip', { agent: 'searcher' });
await cache.set('offer', { flight: 'LH 1', price: 1_250 }, 'trip', { agent: 'upseller' });
await cache.delete('budget', 'trip', { agent: 'cleaner' });

// A view of all namespaces at one position. Later writes do not change it.
const before = cache.at(position);
console.log('then:', before.get('budget', 'trip'), before.get('offer', 'trip').price);

// All versions of an entry, newest first.
for await (const { operation, value, agent } of cache.history('offer', 'trip')) {
  console.log('offer:', operation, value?.flight, 'by', agent);
}

const { added, changed, removed } = await cache.diff(before, cache.position, { namespace: 'trip' });
console.log('since:', added.length, 'added,', changed.length, 'changed,', removed[0]?.key, 'removed');

// The first update after which the offer cost too much.
const culprit = await cache.bisect((view) => (view.get('offer', 'trip')?.price ?? 0) <= 1_000);
console.log('broken by', culprit?.update?.agent, 'at position', culprit?.position);

await cache.shutdown();
await rm(dataDir, { recursive: true });
