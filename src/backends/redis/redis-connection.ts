import type { ConnectionOptions } from 'node:tls';
import type { Redis, RedisOptions } from 'ioredis';
import { type Clock, systemClock } from '../../core/clock.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { type ClientName, RedisLink, type RedisWork } from './redis-link.ts';
import { parseRedisUrl, type RedisAddress } from './redis-url.ts';

/** How to reach a Redis. */
export interface RedisConnectionOptions {
  /** `redis://[user:password@]host[:port][/db]`, or `rediss://…` for TLS. Not a Redis Cluster. */
  readonly url: string;
  /** How long making a connection may take. Default 5000. */
  readonly connectTimeoutMs?: number;
  /** How long one call may take. Default 5000. */
  readonly commandTimeoutMs?: number;
  /** For `rediss://`: a private certificate authority and the like. Default: Node's. */
  readonly tls?: ConnectionOptions;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

/**
 * A connection to Redis that never hangs and never repeats a call: it connects at the first call, every call has a
 * deadline, a loss rejects what is in flight, and the next call connects anew. Nothing is queued while it is away, and
 * nothing is tried again by itself: that is for whoever knows what may be repeated.
 */
export class RedisConnection {
  /** For messages: the URL without user and password. */
  readonly description: string;
  readonly #address: RedisAddress;
  readonly #connectTimeoutMs: number;
  readonly #commandTimeoutMs: number;
  readonly #clock: Clock;
  readonly #lostListeners = new Set<(cause: Error) => void>();
  #link: RedisLink | undefined;
  #opening: Promise<RedisLink> | undefined;
  /** A connection that was given up and that the server may still read from. */
  #abandoned: ClientName | undefined;
  /** How often it has been closed: what was begun before a close must not go on after it. */
  #closes = 0;

  constructor(options: RedisConnectionOptions) {
    this.#address = parseRedisUrl(options.url, options.tls);
    this.description = this.#address.description;
    this.#connectTimeoutMs = duration('connectTimeoutMs', options.connectTimeoutMs ?? 5000);
    this.#commandTimeoutMs = duration('commandTimeoutMs', options.commandTimeoutMs ?? 5000);
    this.#clock = options.clock ?? systemClock;
  }

  /** Whether there is a connection that has not ended. */
  get connected(): boolean {
    return this.#opening === undefined && this.#link?.alive === true;
  }

  /** The prefix that the URL names; `undefined` if it names none. */
  get prefix(): string | undefined {
    return this.#address.prefix;
  }

  /** Connects where there is no connection and makes sure that the one there is answers. */
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
   * Runs one call (or several at once) within the deadline.
   *
   * @throws {ContextCacheError} `UNREACHABLE`, `TIMED_OUT` (whether it was done is not known), `BACKEND_FAILED`,
   *   `CLOSED`.
   */
  async run<T>(work: RedisWork<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) {
      throw new ContextCacheError('TIMED_OUT', 'The call was given up before it was made.', { cause: signal.reason });
    }
    const link = this.#link?.alive ? this.#link : await this.#connected(signal);
    return link.perform(work, this.#commandTimeoutMs, signal);
  }

  /** Calls `lost` when an established connection breaks by itself, idle or not. Returns how to stop. */
  onLost(lost: (cause: Error) => void): () => void {
    this.#lostListeners.add(lost);
    return () => this.#lostListeners.delete(lost);
  }

  /** Ends it; what is in flight rejects with `CLOSED`, a later call connects anew. Twice is fine. */
  close(): void {
    this.#closes += 1;
    this.#opening = undefined;
    this.#link?.destroy(this.#closedError());
    this.#link = undefined;
  }

  /** Calls that come while it is being made share it; the one that is aborted takes it down for all. */
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
    // Already here, so that `close` and an abort find it while it is being made.
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
    // Neither is left to the client: it would not tell a wrong password from none, and go on in database 0.
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
      // It asks for no password, so that it is none the worse for one.
      if (!/without any password configured|no password is set/.test(toError(error).message)) throw error;
    }
  }

  /**
   * A server that was stopped finds the calls of a connection long given up when it goes on. It must not take them
   * after newer ones.
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
    // Whatever the name resolves to, not IPv4 only.
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
    // The deadline of each call is the link's.
    connectTimeout: 0,
    keepAlive: 10_000,
  };
}

/** Id and address together, so that after a restart of the server no other client of the same id is meant. */
async function nameOf(client: Redis): Promise<ClientName | undefined> {
  const info = String(await orIfRefused(client.call('CLIENT', ['INFO']), ''));
  const [id, address] = [/\bid=(\d+)/.exec(info)?.[1], /\baddr=(\S+)/.exec(info)?.[1]];
  return id === undefined || address === undefined ? undefined : ['ID', id, 'ADDR', address];
}

/** For what an old server does not know or a restricted user may not do. */
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
