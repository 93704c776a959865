import type { Command, Redis } from 'ioredis';
import type { Clock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { redisError } from './redis-errors.ts';

/** What is done on a connection. `command`: the class of the client's commands, for those that it does not make. */
export type RedisWork<Result> = (client: Redis, command: typeof Command) => Promise<Result>;

/** How a client is named to its own server, for `CLIENT KILL`. */
export type ClientName = readonly string[];

/**
 * One connection from its making to its end; it never comes back. Every call has a deadline: one that passes it, or
 * is aborted, takes the connection down, as what comes after it could only hang too.
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
  /** Set once the server has told. */
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

  /** Called once if the connection ends by itself, not by {@link destroy} or a deadline. */
  onEnd(listener: (cause: ContextCacheError) => void): void {
    this.#onEnd = listener;
  }

  /** Runs one call; rejects at its deadline at the latest. */
  perform<T>(work: RedisWork<T>, timeoutMs: number, signal?: AbortSignal): Promise<T> {
    // An abort while the connection was being made is not heard again.
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
        const message = `Redis at ${this.#description} ${why}. Whether a change has been made is not known: repeat it.`;
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

  /** Ends it at once; what is in flight rejects. */
  destroy(
    cause = new ContextCacheError(
      'UNREACHABLE',
      `The connection to Redis at ${this.#description} was given up. Repeat the call.`,
    ),
  ): void {
    this.#onEnd = () => {};
    this.#finish(cause);
  }

  #finish(cause: ContextCacheError): void {
    if (this.#end !== undefined) return;
    this.#end = cause;
    // A polite end would wait for the other side, which may be stopped.
    this.#client.disconnect();
    this.#client.stream?.destroy();
    for (const fail of [...this.#inFlight]) fail(cause);
    this.#onEnd(cause);
  }
}
