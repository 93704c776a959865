import type { ChainableCommander, Redis } from 'ioredis';
import type { Owner } from '../../backends/owner.ts';
import { RedisConnection } from '../../backends/redis/redis-connection.ts';
import { RedisOwner } from '../../backends/redis/redis-owner.ts';
import { prefixFrom, withPrefix } from '../../backends/redis/redis-url.ts';
import { type Clock, systemClock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { optionNames } from '../../core/options.ts';
import { checkBlobName, type SnapshotStore } from './snapshot-store.ts';

/** Options of {@link RedisSnapshotStore}. */
export interface RedisSnapshotStoreOptions {
  /** `redis://[user:password@]host[:port][/db][?prefix=text]`, or `rediss://` for TLS. */
  readonly url: string;
  /**
   * The prefix of the cache, as in `RedisContextCache`: the keys of the snapshots begin with it and `:backup:`. Default:
   * the `?prefix=` of the URL; none.
   */
  readonly prefix?: string | undefined;
  /** Milliseconds that one call, and connecting before it, may take. Default 10,000; more than 0. */
  readonly commandTimeoutMs?: number | undefined;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
}

const OPTIONS = optionNames<RedisSnapshotStoreOptions>('RedisSnapshotStore', {
  url: true,
  prefix: true,
  commandTimeoutMs: true,
  clock: true,
});

const DEFAULT_TIMEOUT_MS = 10_000;

/** Names in one round trip. */
const GROUP = 1_000;

/**
 * Keeps snapshots in Redis: a blob at `<prefix>:backup:<name>`, and the names in the sorted set `<prefix>:backup::index`,
 * so that no call scans the database. A blob and its name are written in one transaction. One prefix belongs to one
 * cache, which claims `<prefix>:backup::owner` before each snapshot; another cache is refused with `OWNED_BY_ANOTHER`. A
 * Redis that evicts keys (a `maxmemory-policy` other than `noeviction`) may remove parts of a snapshot; the loader
 * detects that.
 *
 * @example
 * ```ts
 * const store = new RedisSnapshotStore({ url: 'redis://localhost:6379' });
 * const manager = new BackupManager({ store });
 * ```
 */
export class RedisSnapshotStore implements SnapshotStore {
  readonly description: string;
  readonly #connection: RedisConnection;
  readonly #prefix: string;
  readonly #index: string;
  readonly #owner: RedisOwner;
  #closed = false;

  /** @throws {ContextCacheError} `INVALID_OPTION`. Connects at the first call only. */
  constructor(options: RedisSnapshotStoreOptions) {
    const { url, commandTimeoutMs = DEFAULT_TIMEOUT_MS, clock = systemClock } = OPTIONS.checked(options);
    this.#connection = new RedisConnection({ url, commandTimeoutMs, connectTimeoutMs: commandTimeoutMs, clock });
    const prefix = prefixFrom(options.prefix, this.#connection.prefix);
    const address = withPrefix(this.#connection.description, prefix);
    this.#prefix = `${prefix}:backup:`;
    this.#index = `${this.#prefix}:index`;
    this.description = `snapshots in Redis at ${address}`;
    this.#owner = new RedisOwner(this.#connection, clock, {
      key: `${this.#prefix}:owner`,
      positions: undefined,
      what: `The snapshots in Redis at ${address} belong`,
    });
  }

  /** @throws {ContextCacheError} `UNREACHABLE`, `TIMED_OUT`, `BACKEND_FAILED` or `CLOSED`; so do the other methods. */
  async put(name: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    checkBlobName(name);
    const blob = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    await this.#run(signal, (redis) =>
      commit(
        redis
          .multi()
          .set(this.#prefix + name, blob)
          .zadd(this.#index, 0, name),
      ),
    );
  }

  async get(name: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    checkBlobName(name);
    return await this.#run(signal, async (redis) => {
      return (await redis.getBuffer(this.#prefix + name)) ?? undefined;
    });
  }

  async has(names: readonly string[], signal?: AbortSignal): Promise<boolean[]> {
    names.forEach(checkBlobName);
    const there: boolean[] = [];
    for (const group of inGroups(names)) {
      const counts = await this.#run(signal, (redis) => {
        const pipeline = redis.pipeline();
        for (const name of group) pipeline.exists(this.#prefix + name);
        return commit(pipeline);
      });
      there.push(...counts.map((count) => count === 1));
    }
    return there;
  }

  async list(prefix: string, signal?: AbortSignal): Promise<string[]> {
    const names: string[] = [];
    // Every character of a name sorts before DEL.
    const end = `(${prefix}\x7f`;
    for (let start = `[${prefix}`; ; start = `(${names.at(-1)}`) {
      const page = await this.#run(signal, (redis) => redis.zrangebylex(this.#index, start, end, 'LIMIT', 0, GROUP));
      names.push(...page);
      if (page.length < GROUP) return names;
    }
  }

  async remove(names: readonly string[], signal?: AbortSignal): Promise<void> {
    names.forEach(checkBlobName);
    for (const group of inGroups(names)) {
      const keys = group.map((name) => this.#prefix + name);
      await this.#run(signal, (redis) =>
        commit(
          redis
            .multi()
            .del(...keys)
            .zrem(this.#index, ...group),
        ),
      );
    }
  }

  /**
   * Claims the snapshots for one cache. A cache with a data directory keeps the claim also while it does not run.
   *
   * @throws {OwnedByAnotherError} if they belong to a cache that runs, or may come back.
   */
  async claim(owner: Owner, signal?: AbortSignal): Promise<void> {
    this.#assertOpen();
    // The next snapshot claims again, and fails then.
    await this.#owner.claim(owner, () => {}, signal);
  }

  /** Releases the claim. One that Redis does not hear of ends by itself. */
  async releaseClaim(): Promise<void> {
    await this.#owner.release().catch(() => {});
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.releaseClaim();
    this.#connection.close();
  }

  #assertOpen(): void {
    if (!this.#closed) return;
    throw new ContextCacheError('CLOSED', `The store of ${this.description} is closed. Make a new one.`);
  }

  async #run<Result>(signal: AbortSignal | undefined, work: (redis: Redis) => Promise<Result>): Promise<Result> {
    this.#assertOpen();
    signal?.throwIfAborted();
    return await this.#connection.run(work, signal);
  }
}

function* inGroups(names: readonly string[]): Generator<string[]> {
  for (let start = 0; start < names.length; start += GROUP) yield names.slice(start, start + GROUP);
}

/** Runs a transaction or a pipeline. Returns the answers, or throws the first error among them. */
async function commit(commands: ChainableCommander): Promise<unknown[]> {
  const answers = await commands.exec();
  if (answers === null) throw new ContextCacheError('BACKEND_FAILED', 'Redis discarded a transaction. Try again.');
  return answers.map(([error, answer]) => {
    if (error !== null) throw error;
    return answer;
  });
}
