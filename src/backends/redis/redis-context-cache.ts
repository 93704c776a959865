import type { Redis } from 'ioredis';
import { systemClock } from '../../core/clock.ts';
import { decodeValue, encode } from '../../core/encoding/codec.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { decodeNamespace, encodeNamespace } from '../../core/names.ts';
import { optionNames } from '../../core/options.ts';
import type { Update } from '../../core/update.ts';
import type { JsonValue } from '../../core/value.ts';
import { type BackendSetOptions, BaseContextCache, type LogMark } from '../base-context-cache.ts';
import { MirrorMismatchError } from '../mirror-position.ts';
import type { Owner } from '../owner.ts';
import { RedisConnection, type RedisConnectionOptions } from './redis-connection.ts';
import { instantOf, RedisLayout } from './redis-layout.ts';
import { positionOf, RedisMirror } from './redis-mirror.ts';
import { RedisOwner } from './redis-owner.ts';
import { CLEAR, DELETE, isShared, LIST, RESET, runScript, type Script, SET } from './redis-scripts.ts';
import { prefixFrom, withPrefix } from './redis-url.ts';

/** Options of {@link RedisContextCache}. */
export interface RedisContextCacheOptions extends RedisConnectionOptions {
  /**
   * The beginning of every key, unchanged: end it with a separator, as in `team-a:`. Default: the `?prefix=` of the URL;
   * none. Several caches in one database need prefixes of which none begins with another one.
   */
  readonly prefix?: string | undefined;
}

const OPTIONS = optionNames<RedisContextCacheOptions>('RedisContextCache', {
  url: true,
  connectTimeoutMs: true,
  commandTimeoutMs: true,
  tls: true,
  clock: true,
  prefix: true,
});

/** Names in one MGET. */
const CHUNK_KEYS = 1000;

/**
 * Values in Redis, as MessagePack under `<prefix><namespace>:<key>`. In the namespace `%` and `:` are percent-encoded,
 * so the first colon after the prefix ends it. Four kinds of keys lie beside the values and never collide with them,
 * because an encoded namespace is not empty and has no colon: `<prefix>:namespaces` (a set), `<prefix>:keys:<namespace>`
 * (a set of the keys of each namespace, so that listing and clearing touch nothing else), `<prefix>:positions` (a hash
 * from log to position) and `<prefix>:owner` (the cache that mirrors here). `docs/formats.md` describes them.
 *
 * Every change is atomic in Redis. An entry with `expiresAt` also expires by the clock of Redis, in case this process has
 * ended by then. Needs Redis 5 or later, not a Cluster. It connects at the first call, and again at the next call after
 * a loss; no call hangs. Calls reject with `UNREACHABLE`, `TIMED_OUT` (it is unknown if Redis has carried it out),
 * `BACKEND_FAILED` or `CLOSED`.
 *
 * A mirror belongs to one `AgentContextCache` for each database and prefix; another cache is refused with
 * `OWNED_BY_ANOTHER`. Direct calls of `set` and its kin are not checked.
 *
 * @example
 * ```ts
 * await using backend = new RedisContextCache({ url: 'redis://localhost:6379', prefix: 'agents:' });
 * await backend.set('token', 't-1', 'auth'); // redis-cli: GET agents:auth:token
 * ```
 */
export class RedisContextCache extends BaseContextCache implements AsyncDisposable {
  readonly #connection: RedisConnection;
  readonly #layout: RedisLayout;
  readonly #mirror: RedisMirror;
  readonly #owner: RedisOwner;
  readonly #lostListeners = new Set<(cause: Error) => void>();

  constructor(options: RedisContextCacheOptions) {
    super();
    OPTIONS.check(options);
    this.#connection = new RedisConnection(options);
    this.#layout = new RedisLayout(prefixFrom(options.prefix, this.#connection.prefix));
    this.#mirror = new RedisMirror(this.#connection, this.#layout);
    this.#owner = new RedisOwner(this.#connection, options.clock ?? systemClock, {
      key: this.#layout.owner,
      positions: this.#layout.positions,
      what: `The mirror in Redis at ${this.description} belongs`,
    });
  }

  /** The URL without user and password, for messages; it names the prefix, if there is one. */
  get description(): string {
    return withPrefix(this.#connection.description, this.#layout.prefix);
  }

  override async get(key: string, namespace: string): Promise<JsonValue | undefined> {
    const bytes = await this.#connection.run((client) => client.getBuffer(this.#layout.value(namespace, key)));
    return this.#decode(bytes);
  }

  override async set(key: string, value: JsonValue, namespace: string, options?: BackendSetOptions): Promise<void> {
    const { expiresAt = null } = options ?? {};
    const keys = [this.#layout.value(namespace, key), this.#layout.index(namespace), this.#layout.namespaces];
    await this.#run(SET, keys, [
      encode(value),
      expiresAt === null ? '' : instantOf(expiresAt),
      key,
      encodeNamespace(namespace),
    ]);
  }

  override async delete(key: string, namespace: string): Promise<boolean> {
    return (await this.#run(DELETE, [this.#layout.value(namespace, key), this.#layout.index(namespace)], [key])) === 1;
  }

  /** Lists the keys page by page. A key that is set or deleted meanwhile may be listed or not. */
  override async listKeys(namespace: string): Promise<string[]> {
    const names = new Set<string>();
    let cursor = '0';
    do {
      const page = await this.#run(LIST, [this.#layout.index(namespace)], [cursor, this.#layout.space(namespace)]);
      const [next, live] = page as [string, string[]];
      for (const name of live) names.add(name);
      cursor = next;
    } while (cursor !== '0');
    return [...names];
  }

  /** Removes all keys of the namespace, which stays listed. */
  override async clearNamespace(namespace: string): Promise<void> {
    await this.#clear(namespace, '0');
  }

  override async dropNamespace(namespace: string): Promise<void> {
    await this.#clear(namespace, '1');
  }

  /** Lists the namespaces page by page, as {@link listKeys} does. */
  override async listNamespaces(): Promise<string[]> {
    const names = new Set<string>();
    let cursor = '0';
    do {
      const [next, page] = await this.#connection.run((client) =>
        client.sscan(this.#layout.namespaces, cursor, 'COUNT', CHUNK_KEYS),
      );
      for (const name of page) names.add(decodeNamespace(name));
      cursor = next;
    } while (cursor !== '0');
    return [...names];
  }

  override async getMany(keys: readonly string[], namespace: string): Promise<(JsonValue | undefined)[]> {
    const values: (JsonValue | undefined)[] = [];
    for (let i = 0; i < keys.length; i += CHUNK_KEYS) {
      const names = keys.slice(i, i + CHUNK_KEYS).map((key) => this.#layout.value(namespace, key));
      const found = await this.#connection.run((client) => client.mgetBuffer(names));
      values.push(...found.map((bytes) => this.#decode(bytes)));
    }
    return values;
  }

  override async touch(key: string, namespace: string, expiresAt: number | null): Promise<void> {
    const name = this.#layout.value(namespace, key);
    await this.#connection.run((client) =>
      expiresAt === null ? client.persist(name) : client.call('PEXPIREAT', [name, instantOf(expiresAt)]),
    );
  }

  /**
   * Writes the updates and the position in one step, or in several that each move the position if there are more than
   * 2,048 updates or a megabyte. Updates that an earlier attempt has brought are left out. If `after` equals `through`,
   * the position stays. A log that Redis does not know is at position 0.
   *
   * @throws {MirrorMismatchError} if they do not follow on the stored position, or if an entry that they touch has
   *   expired in Redis before they arrived; the position is removed then.
   */
  override applyUpdates(updates: readonly Update[], mark: LogMark, signal: AbortSignal): Promise<void> {
    return this.#mirror.apply(updates, mark, signal);
  }

  override async appliedPosition(log: string, signal: AbortSignal): Promise<number | undefined> {
    return positionOf(await this.#connection.run((client) => client.hget(this.#layout.positions, log), signal));
  }

  /** @throws {MirrorMismatchError} if the mirror belongs to another log by now. */
  override async resetPosition(log: string, position: number, signal: AbortSignal): Promise<void> {
    const { positions, owner } = this.#layout;
    const run = (client: Redis) => runScript(client, RESET, [positions, owner], [log, String(position)]);
    if ((await this.#connection.run(run, signal)) === 1) return;
    throw new MirrorMismatchError('The mirror belongs to another cache by now.', undefined);
  }

  /**
   * Returns `true` if a log that `log` does not continue has written here too: that of an earlier process without a data
   * directory, for example.
   */
  override async otherLogs(log: string, signal?: AbortSignal): Promise<boolean> {
    const logs = await this.#connection.run((client) => client.hgetall(this.#layout.positions), signal);
    return Object.entries(logs).some(([name, stored]) => name !== log && isShared(stored));
  }

  /**
   * Makes the mirror that of one cache. It stays so while this process renews the claim, every 5 seconds; a cache with a
   * data directory keeps it also while it does not run. Listeners of {@link onLost} learn when the claim is lost.
   *
   * @throws {OwnedByAnotherError} if the mirror belongs to a cache that runs, or may come back.
   */
  override claim(owner: Owner, signal: AbortSignal): Promise<void> {
    const lost = (cause: Error) => {
      for (const listener of [...this.#lostListeners]) listener(cause);
    };
    return this.#owner.claim(owner, lost, signal);
  }

  /** Gives the claim up, so that another cache need not wait until it ends. */
  override release(): Promise<void> {
    return this.#owner.release();
  }

  /** Connects if there is no connection, and makes sure that Redis answers. */
  override connect(signal?: AbortSignal): Promise<void> {
    return this.#connection.connect(signal);
  }

  /** Calls `lost` when an idle connection breaks, or the claim is lost. Returns a function that removes the listener. */
  override onLost(lost: (cause: Error) => void): () => void {
    this.#lostListeners.add(lost);
    const stop = this.#connection.onLost(lost);
    return () => {
      this.#lostListeners.delete(lost);
      stop();
    };
  }

  /** Ends the connection; calls in flight reject with `CLOSED`, and a later call connects again. Twice is fine. */
  override close(): void {
    this.#owner.stop();
    this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #clear(namespace: string, drop: '0' | '1'): Promise<void> {
    const keys = [this.#layout.index(namespace), this.#layout.namespaces];
    await this.#run(CLEAR, keys, [this.#layout.space(namespace), encodeNamespace(namespace), drop]);
  }

  #run(script: Script, keys: readonly string[], rest: readonly (string | Buffer)[]): Promise<unknown> {
    return this.#connection.run((client) => runScript(client, script, keys, rest));
  }

  #decode(bytes: Buffer | null): JsonValue | undefined {
    if (bytes === null) return undefined;
    try {
      return decodeValue(bytes);
    } catch (cause) {
      const message = `Redis at ${this.description} holds something that is not MessagePack. Remove it, or choose another prefix.`;
      throw new ContextCacheError('BACKEND_FAILED', message, { cause });
    }
  }
}
