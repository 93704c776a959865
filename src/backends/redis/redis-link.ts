import type { Command, Redis } from 'ioredis';
import type { Clock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { redisError } from './redis-errors.ts';

/** Calls on a connection. `command` is the client's class of commands, to make commands that the client does not offer. */
export type RedisWork<Result> = (client: Redis, command: typeof Command) => Promise<Result>;

/** The arguments of `CLIENT KILL` that name a client to its server. */
export type ClientName = readonly string[];

/**
 * One connection, from connecting to its end; it does not reconnect. Every call has a deadline. A call that passes it, or
 * is aborted, ends the connection, because the calls behind it could only hang too.
 */
export class RedisLink {
  readonly #client: Redis;
  readonly #command: typeof Command;
  readonly #clock: Clock;
  readonly #description: string;
  /** How to reject each call in flight. */
  readonly #inFlight = new Set<(error: ContextCacheError) => void>();
  #onEnd: (cause: ContextCacheError) => void = () => {};
  #lastError: unknown;
  #end: ContextCacheError | undefined;
  /** Set when the server has answered `CLIENT INFO`. */
  clientName: ClientName | undefined;

  constructor(client: Redis, command: typeof Command, clock: Clock, description: string) {
    this.#client = client;
    this.#command = command;
    this.#clock = clock;
    this.#description = description;
    client.on('error', (error) => {
      this.#lastError = error;
    });
    const closed = () =>
      this.#finish(redisError(description, this.#lastError ?? new Error('The connection was closed')));
    client.on('close', closed);
    client.on('end', closed);
  }

  get alive(): boolean {
    return this.#end === undefined;
  }

  /** Sets the listener that is called once if the connection ends by itself, not by {@link destroy} or a deadline. */
  onEnd(listener: (cause: ContextCacheError) => void): void {
    this.#onEnd = listener;
  }

  /** Runs one call. Rejects at its deadline at the latest. */
  perform<T>(work: RedisWork<T>, timeoutMs: number, signal?: AbortSignal): Promise<T> {
    // The signal may have aborted while the connection was made.
    if (signal?.aborted) this.destroy();
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      const settle = () => {
        this.#clock.clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#inFlight.delete(fail);
      };
      const fail = (error: ContextCacheError) => {
        settle();
        reject(error);
      };
      const giveUp = (why: string, cause?: unknown) => {
        const message = `Redis at ${this.#description} ${why}. A change may have been made or not: repeat it.`;
        fail(new ContextCacheError('TIMED_OUT', message, cause === undefined ? {} : { cause }));
        this.destroy();
      };
      const onAbort = () => giveUp('had not answered when the call was given up', signal?.reason);
      const timer = this.#clock.setTimeout(() => giveUp(`has not answered within ${timeoutMs} ms`), timeoutMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#inFlight.add(fail);
      work(this.#client, this.#command).then(
        (result) => {
          settle();
          resolve(result);
        },
        (error) => fail(redisError(this.#description, error)),
      );
    });
  }

  /** Ends the connection at once; calls in flight reject. */
  destroy(
    cause = new ContextCacheError(
      'UNREACHABLE',
      `The connection to Redis at ${this.#description} was ended. Repeat the call.`,
    ),
  ): void {
    this.#onEnd = () => {};
    this.#finish(cause);
  }

  #finish(cause: ContextCacheError): void {
    if (this.#end !== undefined) return;
    this.#end = cause;
    // A graceful end would wait for the server, which may be paused.
    this.#client.disconnect();
    this.#client.stream?.destroy();
    for (const fail of [...this.#inFlight]) fail(cause);
    this.#onEnd(cause);
  }
}
