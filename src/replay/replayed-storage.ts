import { join } from 'node:path';
import { systemClock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { filled, type NamespaceState } from '../core/namespace-state.ts';
import type { PendingUpdate } from '../core/update.ts';
import type { EngineOptions } from '../engine/options.ts';
import { newestSnapshot } from '../engine/restore.ts';
import { memoryStorage, noteContinues, openStorage, type Storage } from '../engine/storage.ts';
import { DirectorySnapshotStore } from '../followers/backup/directory-snapshot-store.ts';
import { MemoryLog } from '../storage/memory/memory-log.ts';
import { NamespaceRegistry } from '../storage/namespace-registry.ts';
import { type FillOptions, fill, type ReplayTarget } from './fill.ts';
import { LogWriter } from './log-writer.ts';
import type { ReplayReport } from './report.ts';
import type { ReplayBase, ReplaySource } from './source.ts';

/** Storage that a replay has filled. */
export interface ReplayedStorage {
  readonly report: ReplayReport;
  /** Opens the storage. Called once; the caller then closes its log. */
  open(): Promise<Storage>;
}

/**
 * Fills storage from what a damaged data directory still holds: the newest complete snapshot in its `backups`, and its
 * log after that. Without a complete snapshot the log must go back to its start.
 */
export async function restoredFromDirectory(options: EngineOptions, path: string): Promise<Storage> {
  const store = new DirectorySnapshotStore(join(path, 'backups'));
  const backed = (await store.list('')).length > 0;
  const { open } = await replayedStorage(path, { ...options, restoreFrom: backed ? store : undefined }).catch(
    (error) => {
      // The damaged snapshots have been reported.
      if (!(error instanceof ContextCacheError) || error.code !== 'SNAPSHOT_CORRUPT') throw error;
      return replayedStorage(path, { ...options, restoreFrom: undefined });
    },
  );
  return open();
}

/** Replays into the kind of storage that the options ask for: in memory, or a new data directory. */
export async function replayedStorage(
  source: ReplaySource,
  options: EngineOptions & FillOptions,
): Promise<ReplayedStorage> {
  const base = options.restoreFrom === undefined ? undefined : await readBase(options);
  const { dataDir } = options;
  if (dataDir === undefined) {
    const target = new MemoryTarget(options);
    const report = await fill(source, target, options, base);
    return { report, open: async () => target.storage };
  }
  const report = await fillDirectory(source, dataDir, options, base);
  return { report, open: () => openStorage({ ...options, restoreFrom: undefined }) };
}

async function fillDirectory(
  source: ReplaySource,
  dataDir: string,
  options: EngineOptions & FillOptions,
  base: ReplayBase | undefined,
): Promise<ReplayReport> {
  const { clock = systemClock, sync, signal } = options;
  // Loaded only here, because a cache in memory needs no storage engine.
  const { StagedReplay } = await import('./staging.ts');
  const staged = await StagedReplay.create(dataDir, { clock, sync, signal });
  try {
    return await fill(source, staged, options, base);
  } catch (error) {
    await staged.discard();
    throw error;
  }
}

async function readBase(options: EngineOptions & FillOptions): Promise<ReplayBase | undefined> {
  const states: NamespaceState[] = [];
  return newestSnapshot(options, async (snapshot) => {
    for await (const namespace of snapshot.namespaces(options.signal)) states.push(filled(namespace));
    const { position, log } = snapshot.info;
    return { position, log, states, operations: snapshot.operations, floor: snapshot.floor };
  });
}

/** Fills a log in memory and its namespaces. */
class MemoryTarget implements ReplayTarget {
  readonly #options: EngineOptions;
  readonly #log: MemoryLog;
  readonly #registry = new NamespaceRegistry();
  readonly #writer: LogWriter;
  #storage: Storage;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#log = new MemoryLog(options.log);
    this.#writer = new LogWriter(this.#log);
    this.#storage = memoryStorage(options, this.#log, this.#registry);
  }

  get storage(): Storage {
    return this.#storage;
  }

  async begin(base: ReplayBase): Promise<void> {
    for (const state of base.states) this.#registry.put(state.name, state);
    if (base.position > 0) await this.#log.beginAfter(base.position, base);
    // Must be created now: the fold of the updates changes these states from here on.
    this.#storage = memoryStorage(this.#options, this.#log, this.#registry);
  }

  continues(log: string): Promise<void> {
    return noteContinues(this.#storage.config, log);
  }

  async write(updates: readonly PendingUpdate[]): Promise<void> {
    await this.#writer.write(updates);
  }

  async finish(states: Iterable<NamespaceState>): Promise<void> {
    for (const record of [...this.#registry.records()]) this.#registry.release(record);
    for (const state of states) this.#registry.put(state.name, state);
  }
}
