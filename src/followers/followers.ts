import type { Clock } from '../core/clock.ts';
import { withDeadline } from '../core/deadline.ts';
import { ContextCacheError } from '../core/errors.ts';
import { Follower, type FollowerDeps, type FollowerHealth } from './follower.ts';

/** The updates that a follower has still to deliver. */
export interface Undelivered {
  /** `mirror`, `broadcaster`, `backup` or `index`. */
  readonly follower: string;
  /** Number of updates that it has still to deliver. A durable log keeps them for the next start. */
  readonly updates: number;
  /** Position up to which it has delivered everything. */
  readonly checkpoint: number;
  /** Position of the last committed update. */
  readonly position: number;
  /** Message of its last failure; `undefined` if it is not failing. */
  readonly lastError: string | undefined;
}

type Defaults = Pick<FollowerDeps, 'start' | 'lingerMs' | 'lingerBytes'>;
const DEFAULTS: Defaults = { start: 0, lingerMs: 0, lingerBytes: Number.POSITIVE_INFINITY };

/** The followers of one cache. */
export class Followers {
  readonly #deps: Omit<FollowerDeps, 'name' | 'sink' | keyof Defaults>;
  readonly #followers = new Map<string, Follower>();

  constructor(deps: Omit<FollowerDeps, 'name' | 'sink' | keyof Defaults>) {
    this.#deps = deps;
  }

  /** Adds a follower and starts it. */
  add(follower: Pick<FollowerDeps, 'name' | 'sink'> & Partial<Defaults>): Follower {
    const added = new Follower({ ...DEFAULTS, ...this.#deps, ...follower });
    this.#followers.set(added.name, added);
    return added;
  }

  get(name: string): Follower | undefined {
    return this.#followers.get(name);
  }

  /** Stops a follower and removes its checkpoint, so that the log need keep nothing for it. */
  async remove(name: string): Promise<void> {
    const follower = this.#followers.get(name);
    this.#followers.delete(name);
    await follower?.remove();
  }

  /** Stops a follower. The log goes on keeping what it has not delivered, for the next one of that name. */
  async release(name: string): Promise<void> {
    const follower = this.#followers.get(name);
    await follower?.stop();
    this.#followers.delete(name);
  }

  health(): FollowerHealth[] {
    return [...this.#followers.values()].map((follower) => follower.health);
  }

  /** Resolves once all have delivered what is committed by now. Rejects with the signal's reason. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#followers.values()].map((follower) => follower.caughtUp(signal)));
  }

  /**
   * Waits as {@link caughtUp}, for a limited time.
   *
   * @throws {ContextCacheError} `TIMED_OUT`, naming each follower that is late; or the signal's reason.
   */
  async caughtUpWithin(timeoutMs: number, clock: Clock, signal?: AbortSignal): Promise<void> {
    const { committed } = this.#deps.log;
    try {
      await withDeadline((limited) => this.caughtUp(limited), { what: 'A follower', timeoutMs, clock, signal });
    } catch (error) {
      if (signal?.aborted || !(error instanceof ContextCacheError) || error.code !== 'TIMED_OUT') throw error;
      const message = `Not every follower caught up within ${timeoutMs} ms${this.#describeLate(committed)}. ${REMEDY}`;
      throw new ContextCacheError('TIMED_OUT', message);
    }
  }

  /** Lets all deliver what is committed, until the signal aborts. Resolves with what is left. */
  async drain(signal: AbortSignal): Promise<Undelivered[]> {
    const followers = [...this.#followers.values()];
    await Promise.allSettled(followers.map((follower) => follower.caughtUp(signal, true)));
    return followers.filter(({ lag, delivers }) => lag > 0 && delivers).map((follower) => this.#undelivered(follower));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#followers.values()].map((follower) => follower.stop()));
  }

  #undelivered({ name, lag, checkpoint, health: { lastError } }: Follower): Undelivered {
    return { follower: name, updates: lag, checkpoint, position: this.#deps.log.committed, lastError };
  }

  /** The followers that have not reached the position, or have no connection, as the end of a sentence. */
  #describeLate(position: number): string {
    const late = [...this.#followers.values()].filter(
      ({ checkpoint, health }) => checkpoint < position || health.state !== 'following',
    );
    const described = late.map(({ name, checkpoint, health: { state, lastError } }) => {
      const why = lastError === undefined ? '' : `; last error: ${lastError}`;
      return `${name} is ${state} at position ${checkpoint} of ${position}${why}`;
    });
    return described.length === 0 ? '' : ` (${described.join(', ')})`;
  }
}

const REMEDY = 'Wait longer, or see followers in health().';
