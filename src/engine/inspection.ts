import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import { publicEntry } from '../core/decide.ts';
import { checkName, DEFAULT_NAMESPACE } from '../core/names.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { SnapshotInfo } from '../followers/backup/snapshot-format.ts';
import type { FollowerHealth } from '../followers/follower.ts';
import type { NamespaceRecord } from '../storage/namespace-record.ts';
import type { NamespaceSummary } from '../storage/state-source.ts';
import type { Conflicts } from './conflicts.ts';
import type { Engine } from './engine.ts';
import type { CacheHealth } from './health.ts';
import type { EngineOptions } from './options.ts';
import { andThen } from './reader.ts';
import type { Storage } from './storage.ts';

/** What is known of a namespace without reading its entries. */
export interface NamespaceInfo {
  readonly name: string;
  /** `passivated`: out of memory. `restarting`: after a crash. `failed`: given up, or it cannot be read from disk. */
  readonly status: 'resident' | 'passivated' | 'restarting' | 'failed';
  /** State of its actor in the namespace machine; `undefined` where it has none just now. */
  readonly state: string | undefined;
  readonly version: number;
  /** Of its last update. */
  readonly position: number;
  readonly keys: number;
  /** Estimated, of its values. */
  readonly bytes: number;
  /** Crashes that count against its restart policy. */
  readonly crashes: number;
  readonly lastError: string | undefined;
  /** Commands that wait for their turn. */
  readonly waiting: number;
}

/** An actor that can be looked at: an XState actor reference is one. */
export interface ObservedActor {
  getSnapshot(): { readonly value?: unknown; readonly status: string };
  /** `next` is called after each event that the actor has taken. */
  subscribe(observer: { next(snapshot: { readonly value?: unknown }): void; error(): void; complete(): void }): {
    unsubscribe(): void;
  };
}

/**
 * What a tool that shows a cache needs to know besides what the cache tells everybody. Looking changes nothing: no
 * namespace is brought to memory, nothing is taken over from a primary, and nothing is counted that would not be anyway.
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
  /** Of what a branch has not touched, which never changes and is read whole to tell. */
  readonly #untouched = new Map<string, NamespaceSummary | undefined>();
  readonly #onShutdown = new Set<() => Promise<void>>();
  #shutDown: Promise<unknown> | undefined;

  /** @internal */
  constructor(parts: Engine, storage: Storage, options: EngineOptions) {
    this.#parts = parts;
    this.#storage = storage;
    this.#options = options;
  }

  /** Where the cache has its time from. */
  get clock(): Clock {
    return this.#parts.clock;
  }

  /** The data directory, where there is one. */
  get dataDir(): string | undefined {
    return this.#options.dataDir;
  }

  /** What is mirrored to, for `cache.verify({ against })`. */
  get mirror(): BaseContextCache | undefined {
    return this.#parts.secondary;
  }

  /** Position of the parent at which a branch began; `undefined` where the cache is none. */
  get branchOf(): number | undefined {
    return this.#storage.past.lineage[1]?.until;
  }

  /** The namespaces there are, in no particular order. May be walked over several turns, while they come and go. */
  *namespaces(): Generator<NamespaceInfo> {
    let hasDefault = false;
    for (const [name, record] of this.#parts.registry.entries()) {
      if (record?.state.version === 0 && name !== DEFAULT_NAMESPACE) continue;
      hasDefault ||= name === DEFAULT_NAMESPACE;
      yield this.#describe(name, record ?? undefined);
    }
    if (!hasDefault) yield this.#describe(DEFAULT_NAMESPACE, undefined);
  }

  /** One of them; `undefined` where there is none of this name. */
  namespace(name: string): NamespaceInfo | undefined {
    const { registry } = this.#parts;
    if (name !== DEFAULT_NAMESPACE && !registry.has(name)) return undefined;
    return this.#describe(name, registry.inMemory(name));
  }

  /** As in `health()`, at no cost however many namespaces there are; so are the next three. */
  get log(): CacheHealth['log'] {
    const { id, durable, status, head, committed, first } = this.#parts.log;
    return { id, durable, status, head, committed, first };
  }

  /** The oldest position of which the state can be looked at. */
  get begin(): number {
    return this.#storage.retained.begin;
  }

  /** How many namespaces there are, and are in memory. */
  get namespaceCounts(): { readonly total: number; readonly resident: number } {
    const { size, resident } = this.#parts.registry;
    return { total: size, resident };
  }

  /** Restarts so far, of all namespaces. */
  get restarts(): number {
    return this.#parts.supervisor.restarts;
  }

  /** Writes refused since the cache started because their `ifVersion` did not hold. */
  get conflicts(): Pick<Conflicts, 'count' | 'recent' | 'byAgent'> {
    return this.#parts.conflicts;
  }

  /** Those of `health()`, and nothing else of it. */
  followers(): FollowerHealth[] {
    return this.#parts.followers.health();
  }

  /**
   * As `entry` of the cache; but of what a primary of the user's own held before, and that the cache has not taken over,
   * only the value is known: its version is 0.
   */
  entry(key: string, namespace: string): MaybePromise<Entry | undefined> {
    checkName('namespace', namespace);
    checkName('key', key);
    const { registry, primary, clock } = this.#parts;
    const record = registry.entry(namespace, key, () => clock.now());
    const known = record && publicEntry(namespace, key, record);
    if (primary === undefined) return known;
    return andThen(primary.get(key, namespace), (value) =>
      value === undefined ? undefined : { ...(known ?? UNKNOWN), namespace, key, value },
    );
  }

  /** An actor by its id: `supervisor`, `namespace:NAME`, `follower:NAME`; `undefined` where it is not there now. */
  actor(id: string): ObservedActor | undefined {
    const { supervisor, registry, followers } = this.#parts;
    if (id === 'supervisor') return supervisor.actor;
    if (id.startsWith('namespace:')) return registry.inMemory(id.slice('namespace:'.length))?.actor;
    return id.startsWith('follower:') ? followers.get(id.slice('follower:'.length))?.actor : undefined;
  }

  /**
   * Tells `observer` of everything that XState tells an inspector, for all actors of the cache. It makes each command
   * several times dearer while it is attached. Returns how to stop.
   */
  inspectActors(observer: (event: unknown) => void): () => void {
    const subscription = this.#parts.supervisor.actor.system.inspect({ next: observer });
    return () => subscription.unsubscribe();
  }

  /** Bytes of all files of the data directory; `undefined` in memory. */
  async diskBytes(): Promise<number | undefined> {
    const { dataDir } = this.#options;
    return dataDir === undefined ? undefined : bytesIn(dataDir);
  }

  /** The stored snapshots, newest first; `undefined` where there is nowhere to keep them. */
  async snapshots(signal?: AbortSignal): Promise<SnapshotInfo[] | undefined> {
    return this.#parts.backup?.list(signal);
  }

  /** Calls back when the cache is being shut down, which waits for it. Returns how to take it back. */
  onShutdown(listener: () => Promise<void>): () => void {
    if (this.#shutDown === undefined) this.#onShutdown.add(listener);
    else void listener();
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
        lastError: unreadable ? 'What is on disk of it cannot be read.' : undefined,
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

/** Of an entry that only the primary knows. */
const UNKNOWN = { version: 0, createdAt: 0, updatedAt: 0, expiresAt: null, agent: null };

async function bytesIn(directory: string): Promise<number> {
  const files = await readdir(directory, { recursive: true, withFileTypes: true });
  const sizes = files.map(async (file) => {
    if (!file.isFile()) return 0;
    try {
      return (await stat(join(file.parentPath, file.name))).size;
    } catch {
      // Gone between listing and looking, as files of a database are.
      return 0;
    }
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
