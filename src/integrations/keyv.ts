import { optionNames } from '../core/options.ts';
import {
  ContextCacheError,
  type ContextStore,
  type JsonValue,
  joinNamespace,
  packSerialized,
  unpackSerialized,
} from '../index.ts';

/** Options of {@link KeyvContextCache}. */
export interface KeyvContextCacheOptions {
  /**
   * The namespace below which the entries are kept, as a name without `/` or as parts. Entries of Keyv's namespace `users`
   * are in `['keyv', 'users']`, those of a Keyv without namespace in `['keyv']`. Default `keyv`.
   */
  readonly namespace?: string | readonly string[] | undefined;
}

/** An entry to set. Keyv 5 gives `ttl`, Keyv 6 gives `expires`. */
export interface KeyvContextCacheEntry {
  readonly key: string;
  readonly value: unknown;
  /** Milliseconds from now. */
  readonly ttl?: number | undefined;
  /** Instant, epoch milliseconds. */
  readonly expires?: number | undefined;
}

/** The answer to Keyv 6, which looks whether a store takes instants. */
export interface KeyvContextCacheCapabilities {
  readonly compatible: true;
  readonly store: 'keyvStorage';
  readonly expires: true;
  readonly methods: { readonly [name: string]: { readonly exists: true; readonly methodType: 'async' } };
}

interface Place {
  readonly namespace: string;
  readonly key: string;
}

const OPTIONS = optionNames<KeyvContextCacheOptions>('KeyvContextCache', { namespace: true });
const METHODS = ['get', 'getMany', 'has', 'hasMany', 'set', 'setMany', 'delete', 'deleteMany', 'clear', 'disconnect'];
/** Instants beyond this are not dates in JavaScript. Keyv's own idea of a later one is "never". */
const LAST_INSTANT = 8.64e15;

/**
 * A store for [Keyv](https://keyv.org) 5 and 6, and so for cacheable and cache-manager, over a cache or a client of one. Create
 * one for each Keyv, because Keyv writes its namespace into its store. A failure rejects, and Keyv emits it as `error`.
 *
 * @example
 * ```ts
 * const users = new Keyv({ store: new KeyvContextCache(cache), namespace: 'users' });
 * await users.set('ann', { name: 'Ann' }, 60_000);
 * ```
 */
export class KeyvContextCache {
  /** Keyv 5 iterates only over stores of a dialect that it knows, and uses the name for nothing else. */
  readonly opts: { [name: string]: unknown } = { dialect: 'redis', url: '' };
  readonly #cache: ContextStore;
  readonly #base: readonly string[];
  #namespace: string | undefined;
  /** All namespaces that Keyv has set: Keyv 5 writes them in front of its keys. */
  readonly #named = new Set<string>();
  /** How many of Keyv 6 use this store. */
  #keyvs6 = 0;

  /** @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`. */
  constructor(cache: ContextStore, options: KeyvContextCacheOptions = {}) {
    OPTIONS.check(options);
    const { namespace = 'keyv' } = options;
    if (typeof cache?.clearNamespace !== 'function')
      throw invalid('KeyvContextCache takes a cache, or a client of one, as its first argument.');
    if (typeof namespace === 'string' && namespace.includes('/'))
      throw invalid("namespace must have no '/'. Give its parts: ['app', 'keyv'].");
    this.#base = typeof namespace === 'string' ? [namespace] : [...namespace];
    if (joinNamespace(this.#base) === '') throw invalid('namespace must have at least one part.');
    this.#cache = cache;
  }

  /** The namespace of Keyv; `undefined`: none. */
  get namespace(): string | undefined {
    return this.#namespace;
  }

  /** @throws {ContextCacheError} `INVALID_OPTION` if another Keyv 6 uses this store with another namespace. */
  set namespace(given: string | undefined) {
    const namespace = given || undefined;
    if (this.#keyvs6 > 1 && namespace !== this.#namespace)
      throw invalid('Another Keyv uses this store with another namespace. Create a KeyvContextCache for each Keyv.');
    this.#namespace = namespace;
    if (this.#namespace !== undefined) this.#named.add(this.#namespace);
  }

  /**
   * Declares to Keyv 6 that this store takes instants. Only Keyv 6 reads this, once for each Keyv, which tells it from Keyv 5: that
   * gives durations, and keys with the namespace in front.
   */
  get capabilities(): KeyvContextCacheCapabilities {
    this.#keyvs6 += 1;
    const methods = Object.fromEntries(METHODS.map((name) => [name, { exists: true, methodType: 'async' } as const]));
    return { compatible: true, store: 'keyvStorage', expires: true, methods };
  }

  /** Returns this store. It emits nothing: every failure rejects the call. */
  on(_event: string, _listener: (...values: never[]) => void): this {
    return this;
  }

  async get<Value>(key: string): Promise<Value | undefined> {
    const place = this.#placeOf(key);
    return foundValue<Value>(await this.#cache.get(place.key, place.namespace));
  }

  async getMany<Value>(keys: readonly string[]): Promise<(Value | undefined)[]> {
    const values: (Value | undefined)[] = [];
    for (const [namespace, places] of this.#grouped(keys)) {
      const found = await this.#cache.getMany([...places.values()], namespace);
      for (const [n, index] of [...places.keys()].entries()) values[index] = foundValue<Value>(found[n]);
    }
    return values;
  }

  async has(key: string): Promise<boolean> {
    const place = this.#placeOf(key);
    return this.#cache.has(place.key, place.namespace);
  }

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.has(key)));
  }

  /** Stores a value. `until` is a duration for Keyv 5 and an instant for Keyv 6. */
  async set(key: string, value: unknown, until?: number): Promise<boolean> {
    const place = this.#placeOf(key);
    await this.#cache.set(place.key, packSerialized(value), place.namespace, this.#expiryOf(until));
    return true;
  }

  /** Stores several values, all or none. */
  async setMany(entries: readonly KeyvContextCacheEntry[]): Promise<boolean[]> {
    for (const [namespace, places] of this.#grouped(entries.map(({ key }) => key))) {
      const operations = [...places].map(([index, key]) => {
        const { value, ttl, expires } = entries[index] as KeyvContextCacheEntry;
        const expiry = this.#expiryOf(this.#keyvs6 > 0 ? expires : ttl);
        return { operation: 'set', key, value: packSerialized(value), ...expiry } as const;
      });
      await this.#cache.batch(operations, namespace);
    }
    return entries.map(() => true);
  }

  /** Removes a key. Resolves with whether it had a value. */
  async delete(key: string): Promise<boolean> {
    const place = this.#placeOf(key);
    return (await this.#cache.delete(place.key, place.namespace)).changed;
  }

  /** Removes several keys. Resolves for Keyv 6 with the result for each key; for Keyv 5 with whether all of them had values. */
  async deleteMany(keys: readonly string[]): Promise<boolean | boolean[]> {
    const results = await Promise.all(keys.map((key) => this.delete(key)));
    return this.#keyvs6 > 0 ? results : results.every(Boolean);
  }

  /** Removes all entries of Keyv's namespace, and of no other one, with one update. */
  async clear(): Promise<void> {
    await this.#cache.clearNamespace(this.#nameOf(this.#namespace));
  }

  /** Yields the keys and values of Keyv's namespace in order of their keys. */
  async *iterator<Value>(namespace = this.#namespace): AsyncGenerator<[string, Value], void> {
    const front = this.#keyvs6 > 0 || namespace === undefined ? '' : `${namespace}:`;
    for await (const { key, value } of this.#cache.entries(this.#nameOf(namespace), {}))
      yield [`${front}${key}`, unpackSerialized(value) as Value];
  }

  /** Does nothing: the cache belongs to the program that has opened it. */
  async disconnect(): Promise<void> {}

  #nameOf(namespace: string | undefined): string {
    return joinNamespace(namespace === undefined ? this.#base : [...this.#base, namespace]);
  }

  /** Returns where a key of Keyv is kept. Keyv 6 gives the key alone, Keyv 5 with the namespace in front. */
  #placeOf(key: string): Place {
    if (this.#keyvs6 > 0) return { namespace: this.#nameOf(this.#namespace), key };
    // The namespace of another Keyv that shares this store, too: the last one has set its own.
    for (const name of [this.#namespace, ...this.#named]) {
      if (name !== undefined && String(key).startsWith(`${name}:`))
        return { namespace: this.#nameOf(name), key: key.slice(name.length + 1) };
    }
    if (this.#namespace === undefined) return { namespace: this.#nameOf(undefined), key };
    throw invalid("Keyv gave a key without its namespace. Leave useKeyPrefix on, or set Keyv's namespace to ''.");
  }

  /** Groups keys by the namespace that they are kept in, each with its index. */
  #grouped(keys: readonly string[]): Map<string, Map<number, string>> {
    const groups = new Map<string, Map<number, string>>();
    for (const [index, key] of keys.entries()) {
      const place = this.#placeOf(key);
      const group = groups.get(place.namespace) ?? new Map<number, string>();
      groups.set(place.namespace, group.set(index, place.key));
    }
    return groups;
  }

  /** Rounds up, so that nothing expires too early. Without a number, or with one later than all dates, nothing expires. */
  #expiryOf(until: number | undefined): { readonly ttl: number } | { readonly expiresAt: number | null } {
    if (typeof until !== 'number' || !(until <= LAST_INSTANT / 2)) return { expiresAt: null };
    if (this.#keyvs6 > 0 || until <= 0) return { expiresAt: Math.max(0, Math.ceil(until)) };
    return { ttl: Math.ceil(until) };
  }
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}

function foundValue<Value>(stored: JsonValue | undefined): Value | undefined {
  return stored === undefined ? undefined : (unpackSerialized(stored) as Value);
}
