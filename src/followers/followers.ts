import { Follower, type FollowerDeps, type FollowerHealth } from './follower.ts';

/** Updates that a follower could not deliver before the cache was shut down. */
export interface Undelivered {
  readonly follower: string;
  /** Updates that it had still to deliver; a durable log keeps them for the next start. */
  readonly updates: number;
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

  add(follower: Pick<FollowerDeps, 'name' | 'sink'> & Partial<Defaults>): Follower {
    const added = new Follower({ ...DEFAULTS, ...this.#deps, ...follower });
    this.#followers.set(added.name, added);
    return added;
  }

  get(name: string): Follower | undefined {
    return this.#followers.get(name);
  }

  /** Ends one; the log need keep nothing for it any longer. */
  async remove(name: string): Promise<void> {
    const follower = this.#followers.get(name);
    this.#followers.delete(name);
    await follower?.remove();
  }

  health(): FollowerHealth[] {
    return [...this.#followers.values()].map((follower) => follower.health);
  }

  /** Resolves once all have delivered what is committed by now; rejects with the signal's reason. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#followers.values()].map((follower) => follower.caughtUp(signal)));
  }

  /** Lets all deliver what is committed, until the signal says stop. Tells what is left. */
  async drain(signal: AbortSignal): Promise<Undelivered[]> {
    const followers = [...this.#followers.values()];
    await Promise.allSettled(followers.map((follower) => follower.caughtUp(signal, true)));
    return followers
      .filter((follower) => follower.lag > 0)
      .map((follower) => ({ follower: follower.name, updates: follower.lag, lastError: follower.health.lastError }));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#followers.values()].map((follower) => follower.stop()));
  }
}
