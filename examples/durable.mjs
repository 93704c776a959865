// A data directory: acknowledged writes survive a crash, and the log has every update.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentContextCache } from 'agent-context-cache';

const dataDir = await mkdtemp(join(tmpdir(), 'context-cache-'));

const first = await AgentContextCache.open({ dataDir });
await first.set('profile', { name: 'Ada' }, 'user/7', { agent: 'onboarding' });
await first.set('profile', { name: 'Ada', seat: 'aisle' }, 'user/7', { agent: 'preferences' });
await first.shutdown();

const second = await AgentContextCache.open({ dataDir });
console.log(second.entry('profile', 'user/7'));
for await (const { version, agent, value } of second.readLog({ namespace: 'user/7' }))
  console.log(version, agent, value);
await second.shutdown();

await rm(dataDir, { recursive: true });
