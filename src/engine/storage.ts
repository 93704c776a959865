import { isDeepStrictEqual } from 'node:util';
import { apply } from '../core/apply.ts';
import { systemClock } from '../core/clock.ts';
import { NamespaceState } from '../core/namespace-state.ts';
import { type TopicEntry, TopicsListConfig } from '../followers/broadcast/topics.ts';
import { type ConfigStore, MemoryConfigStore } from '../storage/config-store.ts';
import type { LevelLog } from '../storage/disk/log/level-log.ts';
import type { StateTable } from '../storage/disk/state/state-table.ts';
import type { FollowerSink } from '../storage/follower-sink.ts';
import { ancestorsAt, type Lineage } from '../storage/lineage.ts';
import { BranchPast } from '../storage/memory/branch-past.ts';
import { ForkPoint } from '../storage/memory/fork-point.ts';
import { MemoryLog } from '../storage/memory/memory-log.ts';
import { MemoryPast } from '../storage/memory/memory-past.ts';
import { MemoryRetained } from '../storage/memory/memory-retained.ts';
import { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { PastSource, StateView } from '../storage/past-source.ts';
import { checkBounds, isBounded, type Retained } from '../storage/retained.ts';
import type { StateSource } from '../storage/state-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import { capacityFor } from '../storage/update-ring.ts';
import type { EngineOptions } from './options.ts';
import { restore, stateOf } from './restore.ts';

/** The setting of a data directory that stores the lineage of a forked log. */
export const ORIGIN = 'origin';

/** The setting that stores the ids of the logs that the cache was restored or replayed from. */
const CONTINUES = 'continues';

/** Records that the cache continues another log, so that it may take over that log's mirror and snapshots. */
export async function noteContinues(config: ConfigStore, log: string | undefined): Promise<void> {
  if (log !== undefined && log !== '') await config.set(CONTINUES, [log]);
}

/** Returns the ids of the logs that a cache was restored, replayed or forked from. */
export function ancestorsOf(config: ConfigStore): string[] {
  const forkedFrom = (config.get(ORIGIN) ?? []) as unknown as Lineage;
  return [...forkedFrom.map(({ log }) => log), ...((config.get(CONTINUES) ?? []) as string[])];
}

/** The storage of a cache: in memory, or in a data directory. */
export interface Storage {
  readonly log: UpdateLog;
  readonly config: ConfigStore;
  /** The namespaces in their present state. */
  readonly registry: NamespaceRegistry;
  /** The past, for views and history. */
  readonly past: PastSource;
  /** The past, for retention. */
  readonly retained: Retained;
  /** The sink of the follower that brings the state table up to date with the log. Only with a data directory. */
  readonly checkpointer?: FollowerSink | undefined;
  /** Log and state table on disk. Only with a data directory. */
  readonly database?: { readonly log: LevelLog; readonly table: StateTable } | undefined;
}

/** Creates storage in memory. It ends with the process. */
export function memoryStorage(
  options: EngineOptions,
  log: MemoryLog = memoryLog(options),
  registry: NamespaceRegistry = new NamespaceRegistry(),
): Storage {
  const past = new MemoryPast({ log, registry, keepsValues: options.primaryCache === undefined });
  return { log, config: new MemoryConfigStore(), registry, past, retained: retainedOf(options, log, past) };
}

function memoryLog({ log = {} }: EngineOptions): MemoryLog {
  checkBounds(log);
  return new MemoryLog(capacityFor(log));
}

/** Creates the retention of a log in memory. With bounds, the past is kept as far back as the log's ring. */
function retainedOf({ log: bounds = {} }: EngineOptions, log: MemoryLog, past: MemoryPast): Retained {
  if (isBounded(bounds)) past.foldReleased();
  return new MemoryRetained(log, past);
}

/** The parent of a branch in memory, and the view that the branch starts from. */
export interface BranchOrigin {
  /** The state that the branch starts with. Released when the branch is shut down. */
  readonly view: StateView;
  readonly past: PastSource;
  readonly log: UpdateLog;
  readonly madeAt: number;
}

/** Creates storage that shares its unchanged state with a parent. */
export async function branchStorage(options: EngineOptions, origin: BranchOrigin): Promise<Storage> {
  const point = new ForkPoint(origin.view, origin.log);
  const log = memoryLog(options);
  await log.beginAfter(point.position);
  log.onStatus((status) => {
    if (status === 'closed') point.close();
  });
  const registry = new NamespaceRegistry(undefined, point);
  const ancestors = ancestorsAt(point.position, point.lineage);
  const own = new MemoryPast({ log, registry, keepsValues: true, base: point, ancestors });
  const past = new BranchPast(own, point, origin.past, origin.madeAt);
  const config = new MemoryConfigStore();
  await noteContinues(config, point.lineage[0]?.log);
  return { log, config, registry, past, retained: retainedOf(options, log, own) };
}

/** Opens the data directory, restores a snapshot, or both. Releases everything if that fails. */
export async function openStorage(options: EngineOptions): Promise<Storage> {
  return options.dataDir === undefined ? restoredInMemory(options) : openDirectory(options, options.dataDir);
}

async function restoredInMemory(options: EngineOptions): Promise<Storage> {
  const log = memoryLog(options);
  const registry = new NamespaceRegistry();
  const adopt: Parameters<typeof restore>[0]['adopt'] = async (namespaces, position) => {
    for await (const namespace of namespaces) registry.put(namespace.name, stateOf(namespace));
    await log.beginAfter(position);
  };
  const from = options.restoreFrom === undefined ? undefined : await restore({ log, adopt }, options);
  const storage = memoryStorage(options, log, registry);
  await noteContinues(storage.config, from);
  return storage;
}

async function openDirectory(options: EngineOptions, dataDir: string): Promise<Storage> {
  checkBounds(options.log ?? {});
  // Loaded only here: a cache in memory needs no storage engine.
  const [{ LevelLog }, { StateTable }, { Checkpointer }, { DurablePast }, { DurableRetained }] = await Promise.all([
    import('../storage/disk/log/level-log.ts'),
    import('../storage/disk/state/state-table.ts'),
    import('../storage/disk/checkpointer.ts'),
    import('../storage/disk/durable-past.ts'),
    import('../storage/disk/durable-retained.ts'),
  ]);
  const { clock = systemClock, sync } = options;
  const keepValues = options.primaryCache === undefined;
  const { openStorage: openEngine } = options.internals ?? {};
  const log = await LevelLog.open({ ...options.log, dataDir, clock, sync, openStorage: openEngine });
  try {
    const table = await StateTable.open(log, { clock, keepValues });
    const adopt: Parameters<typeof restore>[0]['adopt'] = async (namespaces, position) => {
      await table.adopt(namespaces, position);
      await log.beginAfter(position);
    };
    if (options.restoreFrom !== undefined) await noteContinues(log.configStore, await restore({ log, adopt }, options));
    if (options.topics !== undefined) await keepTopics(log, options.topics);
    await log.keepRecent(() => table.checkpoint);
    const registry = new NamespaceRegistry(table);
    await catchUp(registry, log, table, keepValues);
    const past = new DurablePast(table, log, (log.configStore.get(ORIGIN) ?? []) as unknown as Lineage);
    const retained = new DurableRetained(log, table, past, clock);
    const database = { log, table };
    return { log, config: log.configStore, registry, past, retained, checkpointer: new Checkpointer(table), database };
  } catch (error) {
    await log.close();
    throw error;
  }
}

/**
 * Stores the topics, each with the position that its broadcast starts from, before the first update is written.
 * Otherwise a process that is killed loses the updates that it has not broadcast yet: the next process would take the
 * topics for new ones, and start behind those updates.
 */
async function keepTopics(log: LevelLog, wanted: readonly string[]): Promise<void> {
  const topics = new TopicsListConfig((log.configStore.get('topics') ?? []) as unknown as TopicEntry[]);
  const before = topics.entries();
  topics.set(wanted, log.head);
  const entries = topics.entries().map(({ topic, since }) => ({ topic, since }));
  if (!isDeepStrictEqual(entries, before)) await log.configStore.set('topics', entries);
}

/** Folds the updates that are in the log and not yet in the state table. */
async function catchUp(
  registry: NamespaceRegistry,
  log: UpdateLog,
  source: StateSource,
  keepValues: boolean,
): Promise<void> {
  for await (const updates of log.read(source.checkpoint + 1)) {
    for (const update of updates) {
      const { namespace } = update;
      const { state } = registry.find(namespace) ?? registry.put(namespace, new NamespaceState(namespace));
      apply(state, keepValues ? update : { ...update, value: undefined as unknown as null });
    }
  }
  // Version 0: these updates dropped the namespace.
  for (const record of [...registry.records()]) if (record.state.version === 0) registry.release(record);
}
