import { NamespaceRegistry } from '../../src/actors/namespace-registry.ts';
import { AgentContextCache } from '../../src/agent-context-cache.ts';
import { apply } from '../../src/core/apply.ts';
import { systemClock } from '../../src/core/clock.ts';
import { NamespaceState } from '../../src/core/namespace-state.ts';
import { Checkpointer } from '../../src/log/checkpointer.ts';
import { DurablePast } from '../../src/log/durable-past.ts';
import { DurableRetained } from '../../src/log/durable-retained.ts';
import { LevelLog } from '../../src/log/level-log.ts';
import type { OpenStorage } from '../../src/log/level-storage.ts';
import { StateTable } from '../../src/log/state-table.ts';

/** A cache on a storage engine of the test's. */
export async function openOver(dataDir: string, openStorage: OpenStorage): Promise<AgentContextCache> {
  const log = await LevelLog.open({ dataDir, openStorage });
  try {
    const table = await StateTable.open(log);
    await log.keepRecent(() => table.checkpoint);
    const registry = new NamespaceRegistry(table);
    for await (const updates of log.read(table.checkpoint + 1)) {
      for (const update of updates) {
        const { namespace } = update;
        apply((registry.find(namespace) ?? registry.put(namespace, new NamespaceState(namespace))).state, update);
      }
    }
    for (const record of [...registry.records()]) if (record.state.version === 0) registry.release(record);
    const past = new DurablePast(table, log);
    const retained = new DurableRetained(log, table, past, systemClock);
    const checkpointer = new Checkpointer(table);
    const storage = { log, config: log.configStore, registry, past, retained, checkpointer };
    return await AgentContextCache.over({ natsUrl: null, onError: () => {} }, storage);
  } catch (error) {
    await log.close();
    throw error;
  }
}
