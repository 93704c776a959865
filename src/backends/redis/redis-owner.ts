import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Clock } from '../../core/clock.ts';
import { withDeadline } from '../../core/deadline.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { OwnedByAnotherError, type Owner } from '../owner.ts';
import type { RedisConnection } from './redis-connection.ts';
import { OWN, OWN_REPLY, RELEASE, runScript } from './redis-scripts.ts';

/** An owner that has not renewed its claim for so long counts as ended, milliseconds. */
const LEASE_MS = 15_000;
/** Milliseconds between two renewals: a claim survives two that are lost. */
const RENEW_MS = 5_000;

/** Milliseconds that giving a claim up may take: the claim ends by itself, so a shutdown need not wait for it. */
const RELEASE_MS = 1_000;

/** The keys of a claim, and its name in messages. */
export interface Claimed {
  /** The key of the mark: a hash with the owner's log, process and last sign of life. */
  readonly key: string;
  /** The hash of the mirror's positions; `undefined` for a store of snapshots. */
  readonly positions: string | undefined;
  /** The subject of the error message, with its verb: `The mirror … belongs`. */
  readonly what: string;
}

/** The mark to renew does not exist, as after `FLUSHALL`. */
class MarkGoneError extends ContextCacheError {
  constructor(description: string, key: string) {
    const message = `Redis at ${description} has lost the key ${JSON.stringify(key)}: it was emptied. What is missing is written again.`;
    super('BACKEND_FAILED', message);
    this.name = 'MarkGoneError';
  }
}

/**
 * The mark in Redis that says which cache a mirror or a store of snapshots belongs to.
 *
 * A cache claims the mark before it writes and renews it every 5 seconds; Redis's clock decides. Another log gets the
 * mark only if its owner has shut down or was silent for 15 seconds, and only if that owner lived in memory or is an
 * ancestor of the new one: the owner with a data directory may come back. The same log gets it at once.
 */
export class RedisOwner {
  readonly #connection: RedisConnection;
  readonly #clock: Clock;
  readonly #claimed: Claimed;
  /** Tells this claim from one of another process with the same log. */
  readonly #token = randomBytes(8).toString('hex');
  #owner: Owner | undefined;
  #timer: unknown;

  constructor(connection: RedisConnection, clock: Clock, claimed: Claimed) {
    this.#connection = connection;
    this.#clock = clock;
    this.#claimed = claimed;
  }

  /**
   * Claims the mark and renews it until {@link stop} or {@link release}.
   *
   * @param lost called once if a renewal finds that the mark is gone or belongs to another cache.
   * @throws {OwnedByAnotherError} if it belongs to another cache; and as `RedisConnection.run`.
   */
  async claim(owner: Owner, lost: (cause: Error) => void, signal?: AbortSignal): Promise<void> {
    this.stop();
    await this.#own('claim', owner, signal);
    this.#owner = owner;
    this.#renewLater(owner, lost);
  }

  /** Ends the renewals. The mark stays, and lapses by itself. */
  stop(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Says in Redis that the owner has shut down, so that the next one need not wait. Does not connect for it. */
  async release(): Promise<void> {
    const owner = this.#owner;
    this.stop();
    this.#owner = undefined;
    if (owner === undefined || !this.#connection.connected) return;
    const { key } = this.#claimed;
    await withDeadline(
      (signal) => this.#connection.run((client) => runScript(client, RELEASE, [key], [this.#token]), signal),
      { what: 'Redis', timeoutMs: RELEASE_MS, clock: this.#clock },
    );
  }

  #renewLater(owner: Owner, lost: (cause: Error) => void): void {
    const renew = async () => {
      const before = this.#timer;
      const taken = await this.#own('renew', owner).then(
        () => undefined,
        (error) => toError(error),
      );
      // A claim or a stop came in between.
      if (this.#timer !== before) return;
      if (taken instanceof OwnedByAnotherError || taken instanceof MarkGoneError) lost(taken);
      // Redis cannot be reached: the claim is renewed when it is back, or made again.
      else this.#renewLater(owner, lost);
    };
    this.#timer = this.#clock.setTimeout(() => void renew(), RENEW_MS);
    this.#clock.unref?.(this.#timer);
  }

  async #own(how: 'claim' | 'renew', { log, durable, ancestors }: Owner, signal?: AbortSignal): Promise<void> {
    const { key, positions } = this.#claimed;
    const keys = positions === undefined ? [key] : [key, positions];
    const holder = `process ${process.pid} on ${hostname()}`;
    const args = [how, log, this.#token, durable ? '1' : '0', holder, String(LEASE_MS), ...ancestors];
    const reply = await this.#connection.run((client) => runScript(client, OWN, keys, args), signal);
    const [outcome, other, theirs, idleMs, active] = reply as [number, string, string, number, number];
    if (outcome === OWN_REPLY.owned) return;
    if (outcome === OWN_REPLY.gone) throw new MarkGoneError(this.#connection.description, key);
    throw this.#takenBy(other, theirs, idleMs, active === 1);
  }

  #takenBy(log: string, holder: string, idleMs: number, active: boolean): OwnedByAnotherError {
    const { key, what } = this.#claimed;
    const separate =
      'Give each cache its own prefix (redisPrefix, --redis-prefix, or ?prefix= in the URL) or its own database.';
    const wait = `If that process has ended, its claim ends within ${LEASE_MS / 1000} s. `;
    const remedy = `${separate} ${active ? wait : ''}If that cache is gone for good, delete the key ${JSON.stringify(key)} in Redis.`;
    return new OwnedByAnotherError(what, { log, holder, idleMs: idleMs < 0 ? undefined : idleMs, active }, remedy);
  }
}
