import { optionNames } from '../core/options.ts';
import {
  ContextCacheError,
  type ContextStore,
  type JsonValue,
  joinNamespace,
  packSerialized,
  systemClock,
  unpackSerialized,
} from '../index.ts';
import { watchItems } from './unstorage-watch.ts';

/** Options of {@link contextCacheDriver}. */
export interface ContextCacheDriverOptions {
  /** Namespace of the items, as a name or as parts. Default `unstorage`. */
  readonly namespace?: string | readonly string[] | undefined;
  /** Seconds until an item expires, unless the call says otherwise. Default: never. */
  readonly ttl?: number | undefined;
}

/** Options of a call that this driver knows. It ignores others, which may be meant for other drivers. */
export interface DriverCall {
  /** Seconds until the item expires. 0: never. */
  readonly ttl?: number | undefined;
  /** Most keys that `getKeys` returns. Default: all. */
  readonly limit?: number | undefined;
  /** `getKeys` returns the keys that follow this one: the last key of the page before, without the mount point. */
  readonly after?: string | undefined;
  /** `getKeys` returns the last key first. Default false. */
  readonly reverse?: boolean | undefined;
  /** Most `:` in a key, counted from the driver's root. Default: any number. */
  readonly maxDepth?: number | undefined;
}

/** The values of an item before and after a change; `undefined`: the item was or is missing. */
export interface ItemChange {
  readonly value: unknown;
  readonly previous: unknown;
}

/** Meta of an item, from its entry. */
export interface ItemMeta {
  readonly mtime: Date;
  readonly birthtime: Date;
  readonly version: number;
  readonly agent: string | null;
  /** Seconds until the item expires; absent: never. */
  readonly ttl?: number;
  [name: string]: string | number | Date | null | undefined;
}

/** An item of a call about several. */
export interface Item {
  readonly key: string;
  readonly options?: DriverCall;
}

/** A driver of unstorage. `watch` also works without a storage, and then gives the values. */
export interface ContextCacheDriver {
  readonly name: string;
  readonly flags: { readonly maxDepth: true; readonly ttl: true };
  readonly options: ContextCacheDriverOptions;
  getInstance(): ContextStore;
  hasItem(key: string): Promise<boolean>;
  getItem(key: string): Promise<string | null>;
  getItems(items: readonly Item[]): Promise<{ key: string; value: string | null }[]>;
  getItemRaw(key: string): Promise<unknown>;
  setItem(key: string, value: string, call?: DriverCall): Promise<void>;
  setItems(items: readonly (Item & { readonly value: string })[], call?: DriverCall): Promise<void>;
  setItemRaw(key: string, value: unknown, call?: DriverCall): Promise<void>;
  removeItem(key: string): Promise<void>;
  getMeta(key: string): Promise<ItemMeta | null>;
  getKeys(base?: string, call?: DriverCall): Promise<string[]>;
  clear(base?: string): Promise<void>;
  /** Calls `callback` for each change by any writer, and for what expires. Returns a function that ends this. */
  watch(callback: (event: 'update' | 'remove', key: string, change: ItemChange) => unknown): () => void;
  /** Ends all watches. The cache stays open. */
  dispose(): void;
}

const OPTIONS = optionNames<ContextCacheDriverOptions>('contextCacheDriver', { namespace: true, ttl: true });

/**
 * Creates a driver for [unstorage](https://unstorage.unjs.io), over a cache or a client of one.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 *
 * @example
 * ```ts
 * const storage = createStorage({ driver: contextCacheDriver(cache, { namespace: 'files' }) });
 * await storage.setItem('trip:plan', { steps: ['search', 'book'] });
 * ```
 */
export function contextCacheDriver(cache: ContextStore, options: ContextCacheDriverOptions = {}): ContextCacheDriver {
  OPTIONS.check(options);
  if (typeof cache?.clearNamespace !== 'function')
    throw invalid('contextCacheDriver takes a cache, or a client of one, as its first argument.');
  const { namespace: given = 'unstorage' } = options;
  const namespace = typeof given === 'string' ? given : joinNamespace(given);
  if (namespace === '') throw invalid('namespace must not be empty.');
  const expiryOf = ({ ttl = options.ttl }: DriverCall = {}) => expiry(ttl);
  expiryOf();
  const watches = new Set<() => void>();

  const setItemRaw = async (key: string, value: unknown, call?: DriverCall) => {
    await cache.set(key, packSerialized(value), namespace, expiryOf(call));
  };
  return {
    name: 'context-cache',
    flags: { maxDepth: true, ttl: true },
    options,
    getInstance: () => cache,
    hasItem: async (key) => cache.has(key, namespace),
    getItem: async (key) => textOf(await cache.get(key, namespace)),
    getItemRaw: async (key) => itemOf(await cache.get(key, namespace)) ?? null,
    async getItems(items) {
      const keys = items.map(({ key }) => key);
      const values = await cache.getMany(keys, namespace);
      return keys.map((key, index) => ({ key, value: textOf(values[index]) }));
    },
    setItem: setItemRaw,
    setItemRaw,
    async setItems(items, common) {
      const operations = items.map(({ key, value, options: own }) => {
        return { operation: 'set', key, value: packSerialized(value), ...expiryOf({ ...common, ...own }) } as const;
      });
      await cache.batch(operations, namespace);
    },
    removeItem: async (key) => void (await cache.delete(key, namespace)),
    async getMeta(key) {
      const entry = await cache.entry(key, namespace);
      if (entry === undefined) return null;
      const { updatedAt, createdAt, version, agent, expiresAt } = entry;
      const ttl = expiresAt === null ? {} : { ttl: Math.max(0, Math.ceil((expiresAt - systemClock.now()) / 1_000)) };
      return { mtime: new Date(updatedAt), birthtime: new Date(createdAt), version, agent, ...ttl };
    },
    async getKeys(base = '', call = {}) {
      const { after, reverse, maxDepth = Number.POSITIVE_INFINITY, limit = Number.POSITIVE_INFINITY } = call;
      if (!(limit === Number.POSITIVE_INFINITY || (Number.isSafeInteger(limit) && limit >= 0)))
        throw invalid(`limit must be an integer from 0 up, not ${String(limit)}.`);
      const found: string[] = [];
      for await (const key of cache.keys(namespace, { prefix: base, after, reverse })) {
        if (found.length >= limit) break;
        // The storage keeps its own meta under keys that end with `$`, and does not list them.
        if (!key.endsWith('$') && key.split(':').length - 1 <= maxDepth) found.push(key);
      }
      return found;
    },
    clear: async (base) => void (await cache.clearNamespace(namespace, base ? { prefix: base } : {})),
    watch(callback) {
      const stop = watchItems(cache, namespace, (key, value, previous) => {
        const change = { value: itemOf(value), previous: itemOf(previous) };
        callback(value === undefined ? 'remove' : 'update', key, change);
      });
      watches.add(stop);
      return () => {
        watches.delete(stop);
        stop();
      };
    },
    dispose() {
      for (const stop of watches) stop();
      watches.clear();
    },
  };
}

function itemOf(stored: JsonValue | undefined): unknown {
  return stored === undefined ? undefined : unpackSerialized(stored);
}

/** Returns text, which the storage parses, or a raw value as it is, like the memory driver of unstorage. */
function textOf(stored: JsonValue | undefined): string | null {
  return (itemOf(stored) ?? null) as string | null;
}

function expiry(seconds: unknown): { readonly ttl?: number } {
  if (seconds === undefined || seconds === null || seconds === 0) return {};
  if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= 1e12))
    throw invalid(`ttl must be a number of seconds from 0 up, not ${String(seconds)}.`);
  return { ttl: Math.max(1, Math.ceil(seconds * 1_000)) };
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
