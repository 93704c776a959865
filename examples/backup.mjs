// Takes snapshots during writes, and starts an empty cache from the newest one.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentContextCache } from 'agent-context-cache';
import { DirectorySnapshotStore } from 'agent-context-cache/backup';

const directory = await mkdtemp(join(tmpdir(), 'context-cache-'));

const cache = new AgentContextCache({ backup: { store: new DirectorySnapshotStore(directory), keep: 3 } });
await cache.enableBackup({ mode: 'on_change', interval: 60 });
for (let i = 0; i < 1000; i += 1) cache.set(`fact/${i}`, { seen: i }, `agent/${i % 10}`);
const snapshot = await cache.backup();
console.log(
  `snapshot at position ${snapshot.position}: ${snapshot.namespaces} namespaces, ${snapshot.entries} entries`,
);
await cache.shutdown();

const restored = await AgentContextCache.open({ restoreFrom: directory });
console.log(restored.get('fact/999', 'agent/9'), 'at position', restored.position);
await restored.shutdown();

await rm(directory, { recursive: true });
