import { systemClock } from '../core/clock.ts';
import { isEqual } from '../core/equal.ts';
import { ContextCacheError } from '../core/errors.ts';
import { checkedGrants, type Grant } from '../core/grants.ts';
import { filled } from '../core/namespace-state.ts';
import type { JsonValue } from '../core/value.ts';
import { type TopicEntry, TopicsListConfig } from '../followers/broadcast/topics.ts';
import { Reporter } from '../monitoring/reporter.ts';
import { type ConfigStore, MemoryConfigStore } from '../storage/config-store.ts';
import type { DataDirectory } from '../storage/disk/data-directory.ts';
import type { IndexEvent } from '../storage/disk/index/disk-index.ts';
import type { DiskLog } from '../storage/disk/log/disk-log.ts';
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
import type { UpdateLog } from '../storage/update-log.ts';
import { capacityFor } from '../storage/update-ring.ts';
import type { EngineOptions } from './options.ts';
import { restore } from './restore.ts';

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
  /** The sink of the follower that brings the index up to date with the log. Only with a data directory. */
  readonly index?: FollowerSink | undefined;
  /** Only with a data directory. */
  readonly directory?: DataDirectory | undefined;
  /** Stores settings together with the updates appended so far: a crash leaves both or neither. Only with a data directory. */
  readonly noteWith?: ((settings: Readonly<Record<string, JsonValue | null>>) => void) | undefined;
}

/** Creates storage in memory. It ends with the process. */
export function memoryStorage(
  options: EngineOptions,
  log: MemoryLog = memoryLog(options),
  registry: NamespaceRegistry = new NamespaceRegistry(),
  config: ConfigStore = new MemoryConfigStore(),
): Storage {
  const past = new MemoryPast({ log, registry, keepsValues: options.primaryCache === undefined });
  return { log, config, registry, past, retained: retainedOf(options, log, past) };
}

function memoryLog({ log = {}, logId }: EngineOptions): MemoryLog {
  checkBounds(log);
  return new MemoryLog({ ...capacityFor(log), id: logId });
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
  // A branch from position 0 has nothing in common with the log of its parent: an export of it must not need the floor.
  if (point.position > 0) await log.beginAfter(point.position, origin.log.remembered(point.position));
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
  const adopt: Parameters<typeof restore>[0]['adopt'] = async (namespaces, position, remembered) => {
    for await (const namespace of namespaces) registry.put(namespace.name, filled(namespace));
    await log.beginAfter(position, remembered);
  };
  const config = new MemoryConfigStore();
  const snapshot = await options.begin?.(log, config);
  if (snapshot !== undefined) await adopt(snapshot.namespaces(), snapshot.info.position, snapshot);
  if (options.restoreFrom !== undefined) await noteContinues(config, await restore({ log, adopt }, options));
  return memoryStorage(options, log, registry, config);
}

async function openDirectory(options: EngineOptions, dataDir: string): Promise<Storage> {
  checkBounds(options.log ?? {});
  // Loaded only here: a cache in memory needs no storage engine.
  const { DataDirectory } = await import('../storage/disk/data-directory.ts');
  const reporter = new Reporter(options);
  const { clock = systemClock, sync, internals = {} } = options;
  const keepsValues = options.primaryCache === undefined;
  const directory = await DataDirectory.open({
    ...{ ...options.log, dataDir, clock, sync, keepsValues, id: options.logId },
    ...{ files: internals.files, openStorage: internals.openStorage },
    onIndex: (event) => reportIndex(event, dataDir, reporter),
    onUncompressed: (error) => reporter.failure(error, { source: 'log' }),
  });
  try {
    const { log } = directory;
    const adopt: Parameters<typeof restore>[0]['adopt'] = (namespaces, position, remembered) =>
      directory.adopt(namespaces, position, remembered);
    const snapshot = await options.begin?.(log, log.configStore);
    if (snapshot !== undefined) await adopt(snapshot.namespaces(), snapshot.info.position, snapshot);
    if (options.restoreFrom !== undefined) await noteContinues(log.configStore, await restore({ log, adopt }, options));
    if (options.topics !== undefined) await keepTopics(log, options.topics);
    if (options.grants !== undefined) await keepGrants(log, options.grants);
    const { source, sink } = await directory.openIndex();
    const registry = new NamespaceRegistry(source);
    await directory.catchUp(registry);
    const past = directory.past((log.configStore.get(ORIGIN) ?? []) as unknown as Lineage);
    const retained = directory.retained(past);
    const noteWith: Storage['noteWith'] = (settings) => log.noteWith(settings);
    return { log, config: log.configStore, registry, past, retained, index: sink, directory, noteWith };
  } catch (error) {
    // This error is the cause of what fails afterwards.
    await directory.close().catch(() => undefined);
    throw error;
  }
}

/** Reports faults of the index. Nothing that was acknowledged is at stake: it is derived from the log. */
function reportIndex(event: IndexEvent, dataDir: string, reporter: Reporter): void {
  if (event.type === 'rebuilt') return;
  const message = messageOf(event, dataDir);
  const error = new ContextCacheError(
    'LOG_UNAVAILABLE',
    message,
    event.type === 'failed' ? { cause: event.cause } : {},
  );
  reporter.failure(error, { source: 'index' });
}

function messageOf(event: Exclude<IndexEvent, { readonly type: 'rebuilt' }>, dataDir: string): string {
  if (event.type === 'failed') return `The index in ${dataDir} has failed and is opened again: ${event.cause.message}`;
  const { from, to, reason } = event;
  return `The index in ${dataDir} is rebuilt from position ${from} to ${to} (${reason}). Reads and writes work meanwhile.`;
}

/** Stores the grants before the cache is used, so that a process that is killed leaves them to the next one. */
async function keepGrants(log: DiskLog, wanted: readonly Grant[]): Promise<void> {
  const grants = checkedGrants(wanted) as unknown as JsonValue;
  if (!isEqual(grants, log.configStore.get('grants'))) await log.configStore.set('grants', grants);
}

/**
 * Stores the topics, each with the position that its broadcast starts from, before the first update is written.
 * Otherwise a process that is killed loses the updates that it has not broadcast yet: the next process would take the
 * topics for new ones, and start behind those updates.
 */
async function keepTopics(log: DiskLog, wanted: readonly string[]): Promise<void> {
  const topics = new TopicsListConfig((log.configStore.get('topics') ?? []) as unknown as TopicEntry[]);
  const before = topics.entries();
  topics.set(wanted, log.head);
  const entries = topics.entries().map(({ topic, since }) => ({ topic, since }));
  if (!isEqual(entries, before)) await log.configStore.set('topics', entries);
}
