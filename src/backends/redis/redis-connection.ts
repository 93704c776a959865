import type { ConnectionOptions } from 'node:tls';
import type { Redis, RedisOptions } from 'ioredis';
import { type Clock, systemClock } from '../../core/clock.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { type ClientName, RedisLink, type RedisWork } from './redis-link.ts';
import { parseRedisUrl, type RedisAddress } from './redis-url.ts';

/** How to reach a Redis server. */
export interface RedisConnectionOptions {
  /**
   * `redis://[user:password@]host[:port][/db][?prefix=text]`, or `rediss://…` for TLS. User and password are
   * percent-encoded. Not a Redis Cluster.
   */
  readonly url: string;
  /** Milliseconds that connecting and logging in may take. Default 5,000; more than 0. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds that one call may take. Default 5,000; more than 0. */
  readonly commandTimeoutMs?: number;
  /** TLS settings for `rediss://`, such as a private certificate authority. Default: those of Node. */
  readonly tls?: ConnectionOptions;
  /** Source of time. Default: the machine's clock. */
  readonly clock?: Clock;
}

/**
 * A connection to Redis that never hangs and never repeats a call. It connects at the first call; every call has a
 * deadline; a lost connection rejects the calls in flight, and the next call connects again. It queues nothing while Redis
 * is away and retries nothing, because only the caller knows which calls are safe to repeat.
 */
export class RedisConnection {
  /** The URL without user, password and prefix, for messages. */
  readonly description: string;
  readonly #address: RedisAddress;
  readonly #connectTimeoutMs: number;
  readonly #commandTimeoutMs: number;
  readonly #clock: Clock;
  readonly #lostListeners = new Set<(cause: Error) => void>();
  #link: RedisLink | undefined;
  #opening: Promise<RedisLink> | undefined;
  /** An abandoned connection that the server may still read from. */
  #abandoned: ClientName | undefined;
  /** Number of closes. An attempt to connect that began before a close must not succeed after it. */
  #closes = 0;

  constructor(options: RedisConnectionOptions) {
    this.#address = parseRedisUrl(options.url, options.tls);
    this.description = this.#address.description;
    this.#connectTimeoutMs = duration('connectTimeoutMs', options.connectTimeoutMs ?? 5000);
    this.#commandTimeoutMs = duration('commandTimeoutMs', options.commandTimeoutMs ?? 5000);
    this.#clock = options.clock ?? systemClock;
  }

  /** `true` while a connection is established. */
  get connected(): boolean {
    return this.#opening === undefined && this.#link?.alive === true;
  }

  /** The prefix that the URL names; `undefined` if it names none. */
  get prefix(): string | undefined {
    return this.#address.prefix;
  }

  /** Connects if there is no connection, and makes sure that an existing one answers. */
  async connect(signal?: AbortSignal): Promise<void> {
    const closes = this.#closes;
    if (this.#link?.alive) {
      const answered = await this.run((client) => client.ping(), signal).then(
        () => true,
        (error: ContextCacheError) => {
          if (this.#link?.alive || closes !== this.#closes || signal?.aborted) throw error;
          return false;
        },
      );
      if (answered) return;
    }
    await this.run(async () => {}, signal);
  }

  /**
   * Runs one call, or several at once, within the deadline.
   *
   * @throws {ContextCacheError} `UNREACHABLE`, `TIMED_OUT` (it is unknown if Redis has carried it out), `BACKEND_FAILED`,
   *   `CLOSED`.
   */
  async run<T>(work: RedisWork<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) {
      throw new ContextCacheError('TIMED_OUT', 'The call was given up before it was made.', { cause: signal.reason });
    }
    const link = this.#link?.alive ? this.#link : await this.#connected(signal);
    return link.perform(work, this.#commandTimeoutMs, signal);
  }

  /** Calls `lost` when an established connection breaks by itself, idle or not. Returns a function that removes the listener. */
  onLost(lost: (cause: Error) => void): () => void {
    this.#lostListeners.add(lost);
    return () => this.#lostListeners.delete(lost);
  }

  /** Ends the connection. Calls in flight reject with `CLOSED`; a later call connects again. Calling it twice is fine. */
  close(): void {
    this.#closes += 1;
    this.#opening = undefined;
    this.#link?.destroy(this.#closedError());
    this.#link = undefined;
  }

  /** Calls made while connecting share the attempt. An abort of one of them ends it for all. */
  async #connected(signal: AbortSignal | undefined): Promise<RedisLink> {
    const onAbort = () => this.#link?.destroy();
    signal?.addEventListener('abort', onAbort, { once: true });
    const opening = this.#opening ?? this.#open();
    this.#opening = opening;
    try {
      return await opening;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      if (this.#opening === opening) this.#opening = undefined;
    }
  }

  async #open(): Promise<RedisLink> {
    const closes = this.#closes;
    const { Command, Redis } = await import('ioredis');
    if (closes !== this.#closes) throw this.#closedError();
    const link = new RedisLink(new Redis(clientOptions(this.#address)), Command, this.#clock, this.description);
    // Set before the greeting, so that `close` and an abort can end the attempt.
    this.#link = link;
    try {
      await link.perform((client) => this.#greet(client, link), this.#connectTimeoutMs);
    } catch (error) {
      link.destroy();
      throw error;
    }
    link.onEnd((cause) => {
      for (const lost of [...this.#lostListeners]) lost(cause);
    });
    return link;
  }

  async #greet(client: Redis, link: RedisLink): Promise<void> {
    await client.connect();
    // Not left to the client, which ignores a wrong password and stays in database 0.
    await this.#logIn(client);
    if (this.#address.db !== 0) await client.select(this.#address.db);
    else await client.ping();
    await this.#endAbandoned(client);
    link.clientName = await nameOf(client);
    this.#abandoned = link.clientName;
  }

  async #logIn(client: Redis): Promise<void> {
    const { username, password } = this.#address;
    if (password === undefined) return;
    try {
      await (username === undefined ? client.auth(password) : client.auth(username, password));
    } catch (error) {
      // A server without a password refuses AUTH; the connection works all the same.
      if (!/without any password configured|no password is set/.test(toError(error).message)) throw error;
    }
  }

  /**
   * Kills the abandoned connection. A server that was paused still reads the calls of that connection when it resumes,
   * and must not carry them out after newer ones.
   */
  async #endAbandoned(client: Redis): Promise<void> {
    if (this.#abandoned === undefined) return;
    await orIfRefused(client.call('CLIENT', ['KILL', ...this.#abandoned]), undefined);
  }

  #closedError(): ContextCacheError {
    return new ContextCacheError(
      'CLOSED',
      `The connection to Redis at ${this.description} has been closed. Repeat the call to connect again.`,
    );
  }
}

function clientOptions({ host, port, tls }: RedisAddress): RedisOptions {
  return {
    host,
    port,
    // IPv4 and IPv6.
    family: 0,
    ...(tls === undefined ? {} : { tls }),
    lazyConnect: true,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    disableClientInfo: true,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: null,
    retryStrategy: () => null,
    // The link has a deadline for each call.
    connectTimeout: 0,
    keepAlive: 10_000,
  };
}

/** Id and address together: after a restart of the server another client may have the same id. */
async function nameOf(client: Redis): Promise<ClientName | undefined> {
  const info = String(await orIfRefused(client.call('CLIENT', ['INFO']), ''));
  const [id, address] = [/\bid=(\d+)/.exec(info)?.[1], /\baddr=(\S+)/.exec(info)?.[1]];
  return id === undefined || address === undefined ? undefined : ['ID', id, 'ADDR', address];
}

/** Resolves with `otherwise` if Redis refuses the call: an old server may not know it, a restricted user may not use it. */
export async function orIfRefused<T>(call: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (toError(error).name === 'ReplyError') return otherwise;
    throw error;
  }
}

function duration(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw new ContextCacheError('INVALID_OPTION', `${name} must be a number of milliseconds above 0, not ${value}.`);
}
