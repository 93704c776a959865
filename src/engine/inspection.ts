import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parentOf } from '../actors/lean-actor.ts';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import { publicEntry } from '../core/decide.ts';
import { ContextCacheError } from '../core/errors.ts';
import { type CacheLimits, limitsOf } from '../core/limits.ts';
import { checkName, DEFAULT_NAMESPACE } from '../core/names.ts';
import type { Entry } from '../core/namespace-state.ts';
import { migratedEntry, openedEntry, openedUpdate } from '../core/opened.ts';
import { optionNames } from '../core/options.ts';
import type { Update } from '../core/update.ts';
import type { WatchFilter } from '../core/update-filter.ts';
import type { SnapshotInfo } from '../followers/backup/snapshot-format.ts';
import type { FollowerHealth } from '../followers/follower.ts';
import type { NamespaceRecord } from '../storage/namespace-record.ts';
import type { NamespaceSummary } from '../storage/state-source.ts';
import type { Conflicts } from './conflicts.ts';
import type { Engine } from './engine.ts';
import type { CacheHealth } from './health.ts';
import { type MetricFamily, metricsOf } from './metrics.ts';
import type { EngineOptions } from './options.ts';
import { andThen } from './reader.ts';
import type { Storage } from './storage.ts';

const METRICS_OPTIONS = optionNames<{ readonly namespaces?: number | undefined }>('metrics', { namespaces: true });
/** Most namespaces whose names become labels. */
const MAX_NAMED = 1_000;

/** A namespace in numbers, which need no entry to be read. */
export interface NamespaceInfo {
  readonly name: string;
  /**
   * `passivated`: on disk and not in memory. `restarting`: after a crash. `failed`: crashed too often, or unreadable on
   * disk.
   */
  readonly status: 'resident' | 'passivated' | 'restarting' | 'failed';
  /** State of its actor in the namespace machine; `undefined` while it has no actor. */
  readonly state: string | undefined;
  readonly version: number;
  /** Position of its last update. */
  readonly position: number;
  readonly keys: number;
  /** Estimated size of its values. */
  readonly bytes: number;
  /** Number of crashes that count against its restart policy. */
  readonly crashes: number;
  readonly lastError: string | undefined;
  /** Number of commands that wait for their turn. */
  readonly waiting: number;
}

/** An actor whose state can be observed, such as an XState actor reference. */
export interface ObservedActor {
  getSnapshot(): { readonly value?: unknown; readonly status: string };
  /** Calls `next` after each event that the actor has processed. */
  subscribe(observer: { next(snapshot: { readonly value?: unknown }): void; error(): void; complete(): void }): {
    unsubscribe(): void;
  };
}

/**
 * Reads for tools that show a cache, beyond those of the cache itself. They have no side effects: they load no namespace
 * into memory, adopt nothing from a primary, and change no counter.
 *
 * @example
 * ```ts
 * for (const { name, keys, status } of cache.inspection.namespaces()) console.log(name, keys, status);
 * ```
 */
export class Inspection {
  readonly #parts: Engine;
  readonly #options: EngineOptions;
  readonly #storage: Storage;
  /** Summaries of the namespaces that a branch has not touched. They never change, and each takes a full read. */
  readonly #untouched = new Map<string, NamespaceSummary | undefined>();
  readonly #onShutdown = new Set<() => Promise<void>>();
  #shutDown: Promise<unknown> | undefined;

  /** @internal */
  constructor(parts: Engine, storage: Storage, options: EngineOptions) {
    this.#parts = parts;
    this.#storage = storage;
    this.#options = options;
  }

  /** The cache's source of time. */
  get clock(): Clock {
    return this.#parts.clock;
  }

  /** The data directory; `undefined` in memory. */
  get dataDir(): string | undefined {
    return this.#options.dataDir;
  }

  /** The limits of what may be set. */
  get limits(): CacheLimits {
    return limitsOf(this.#options.limits);
  }

  /** The backend that is mirrored to, for `cache.verify({ against })`; `undefined` without one. */
  get mirror(): BaseContextCache | undefined {
    return this.#parts.secondary;
  }

  /** The parent's position that a branch started from; `undefined` if the cache is not a branch. */
  get branchOf(): number | undefined {
    return this.#storage.past.lineage[1]?.until;
  }

  /** Yields all namespaces in no particular order. The loop may take several turns while namespaces come and go. */
  *namespaces(): Generator<NamespaceInfo> {
    let hasDefault = false;
    for (const [name, record] of this.#parts.registry.entries()) {
      if (record?.state.version === 0 && name !== DEFAULT_NAMESPACE) continue;
      hasDefault ||= name === DEFAULT_NAMESPACE;
      yield this.#describe(name, record ?? undefined);
    }
    if (!hasDefault) yield this.#describe(DEFAULT_NAMESPACE, undefined);
  }

  /** Returns one namespace; `undefined` if it does not exist. */
  namespace(name: string): NamespaceInfo | undefined {
    const { registry } = this.#parts;
    if (name !== DEFAULT_NAMESPACE && !registry.has(name)) return undefined;
    return this.#describe(name, registry.inMemory(name));
  }

  /**
   * Returns the figures of the cache as metrics, for Prometheus and the like; `GET /metrics` of a server answers with them.
   * `namespaces` is the number of namespaces that get figures of their own: those that the cache has known longest.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`.
   *
   * @example
   * ```ts
   * for (const { name, samples } of cache.inspection.metrics()) for (const { labels, value } of samples) gauge(name, labels, value);
   * ```
   */
  metrics(options: { readonly namespaces?: number | undefined } = {}): MetricFamily[] {
    const { namespaces = 0 } = METRICS_OPTIONS.checked(options);
    if (!Number.isInteger(namespaces) || namespaces < 0 || namespaces > MAX_NAMED) {
      const message = `namespaces must be an integer from 0 to ${MAX_NAMED}: each namespace has series of its own.`;
      throw new ContextCacheError('INVALID_OPTION', message);
    }
    const named: NamespaceInfo[] = [];
    if (namespaces > 0) {
      for (const info of this.namespaces()) if (named.push(info) === namespaces) break;
    }
    return metricsOf({ health: this.#parts.health(false), meters: this.#parts.activity.meters, namespaces: named });
  }

  /** The log as in `health()`. Its cost does not depend on the number of namespaces. */
  get log(): CacheHealth['log'] {
    const { id, durable, status, head, committed, first } = this.#parts.log;
    return { id, durable, status, head, committed, first };
  }

  /** The oldest position that has a view. */
  get begin(): number {
    return this.#storage.retained.begin;
  }

  /** Number of namespaces: all, and those in memory. */
  get namespaceCounts(): { readonly total: number; readonly resident: number } {
    const { size, resident } = this.#parts.registry;
    return { total: size, resident };
  }

  /** Number of restarts of all namespaces so far. */
  get restarts(): number {
    return this.#parts.supervisor.restarts;
  }

  /** Writes refused since the cache started because their `ifVersion` did not hold. */
  get conflicts(): Pick<Conflicts, 'count' | 'recent' | 'byAgent'> {
    return this.#parts.conflicts;
  }

  /** Returns the `followers` of `health()` without computing the rest. */
  followers(): FollowerHealth[] {
    return this.#parts.followers.health();
  }

  /**
   * Returns the same as `entry` of the cache, with two exceptions: values are as they were written, see {@link Inspection.migrated},
   * and one that a custom primary held before, and that the cache has not adopted, has version 0.
   */
  entry(key: string, namespace: string): MaybePromise<Entry | undefined> {
    checkName('namespace', namespace);
    checkName('key', key);
    const { registry, primary, clock, subjects } = this.#parts;
    const record = registry.entry(namespace, key, () => clock.now());
    const known = record && publicEntry(namespace, key, record);
    if (primary === undefined) return known && openedEntry(subjects, known);
    return andThen(primary.get(key, namespace), (value) =>
      value === undefined ? undefined : openedEntry(subjects, { ...(known ?? UNKNOWN), namespace, key, value }),
    );
  }

  /**
   * Returns what readers get of an entry that {@link Inspection.entry} has returned; the same object if no migration changes it.
   *
   * @throws {ContextCacheError} `MIGRATION_FAILED`, which is what readers get.
   */
  migrated(entry: Entry): Entry {
    return migratedEntry(this.#parts.reading, entry);
  }

  /** Returns an update of `readLog` with what is encrypted for a subject decrypted, as `entry` returns it. */
  opened(update: Update): Update {
    return openedUpdate(this.#parts.subjects, update);
  }

  /**
   * Calls `listener` after each committed update, with what was written, as `opened` returns it. No migration can fail for it. Returns a function
   * that stops it.
   */
  subscribe(listener: (update: Update) => void, filter: WatchFilter = {}): () => void {
    return this.#parts.watchers.add(filter, (update) => listener(this.opened(update)));
  }

  /** Returns an actor by its id: `supervisor`, `namespace:NAME`, `follower:NAME`; `undefined` if it does not exist now. */
  actor(id: string): ObservedActor | undefined {
    const { supervisor, registry, followers } = this.#parts;
    if (id === 'supervisor') return supervisor.actor;
    if (id.startsWith('namespace:')) return registry.inMemory(id.slice('namespace:'.length))?.actor;
    return id.startsWith('follower:') ? followers.get(id.slice('follower:'.length))?.actor : undefined;
  }

  /**
   * Calls `observer` with every inspection event of XState, for all actors of the cache. Makes each command several
   * times slower while it is attached. Returns a function that detaches it.
   */
  inspectActors(observer: (event: unknown) => void): () => void {
    const subscription = this.#parts.supervisor.actor.system.inspect({ next: observer });
    return () => subscription.unsubscribe();
  }

  /** Returns the parent of an actor that {@link Inspection.inspectActors} reports; `undefined` for the supervisor. */
  parentOf(actor: object): object | undefined {
    return parentOf(actor);
  }

  /** Returns the total size of the files in the data directory; `undefined` in memory. */
  async diskBytes(): Promise<number | undefined> {
    const { dataDir } = this.#options;
    return dataDir === undefined ? undefined : bytesIn(dataDir);
  }

  /** Returns the stored snapshots, newest first; `undefined` if the cache has no store for them. */
  async snapshots(signal?: AbortSignal): Promise<SnapshotInfo[] | undefined> {
    return this.#parts.backup?.list(signal);
  }

  /** Calls `listener` when the cache is shut down; the shutdown waits for it. Returns a function that removes it. */
  onShutdown(listener: () => Promise<void>): () => void {
    if (this.#shutDown === undefined) this.#onShutdown.add(listener);
    // Later: a listener may need what this call returns.
    else queueMicrotask(() => void listener());
    return () => this.#onShutdown.delete(listener);
  }

  /** @internal */
  async shutDown(): Promise<void> {
    this.#shutDown ??= Promise.all([...this.#onShutdown].map((listener) => listener()));
    await this.#shutDown;
  }

  #summary(name: string): NamespaceSummary | undefined {
    const { registry } = this.#parts;
    if (!registry.has(name)) return undefined;
    if (!registry.isBranch) return registry.summary(name);
    if (!this.#untouched.has(name)) this.#untouched.set(name, registry.summary(name));
    return this.#untouched.get(name);
  }

  #describe(name: string, record: NamespaceRecord | undefined): NamespaceInfo {
    const { registry } = this.#parts;
    const unreadable = registry.unreadable.has(name);
    if (record === undefined) {
      const { version = 0, position = 0, count = 0, bytes = 0 } = this.#summary(name) ?? {};
      return {
        ...{ name, version, position, keys: count, bytes, state: undefined, crashes: 0, waiting: 0 },
        status: unreadable ? 'failed' : version === 0 ? 'resident' : 'passivated',
        lastError: unreadable ? 'Its state on disk cannot be read. Run verify to find the damage.' : undefined,
      };
    }
    const { version, position, bytes, entries } = record.state;
    const snapshot = record.actor?.getSnapshot();
    return {
      ...{ name, version, position, bytes, keys: entries.size, status: record.status },
      state: typeof snapshot?.value === 'string' ? snapshot.value : undefined,
      crashes: record.crashes.length,
      lastError: record.lastError?.message,
      waiting: record.held.length + (snapshot?.context.waiting.length ?? 0),
    };
  }
}

/** The fields of an entry that only the primary holds. */
const UNKNOWN = { version: 0, createdAt: 0, updatedAt: 0, expiresAt: null, agent: null };

async function bytesIn(directory: string): Promise<number> {
  const files = await readdir(directory, { recursive: true, withFileTypes: true });
  const sizes = files.map(async (file) => {
    if (!file.isFile()) return 0;
    try {
      return (await stat(join(file.parentPath, file.name))).size;
    } catch {
      // The database may have deleted the file since it was listed.
      return 0;
    }
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
