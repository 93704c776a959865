/** A lease: who holds it, and until when in the stream's time. */
export interface Lease {
  readonly session: string;
  readonly until: number;
}

/** Answer to a `lease` command. */
export interface LeaseResult {
  /** `true` if its sender holds the lease now. */
  readonly held: boolean;
  /** The lease; `undefined` if it is free. */
  readonly lease: Lease | undefined;
}

/** A lease as it is stored in a snapshot. */
export type StoredLease = readonly [name: string, session: string, until: number];

/**
 * Who runs what only one node may run, such as a mirror, and how far each of these has come. All times are the stream's, so
 * that all nodes agree. A holder that was paused may still believe that it holds a lease: its checkpoints are refused, and
 * what it does outside must be harmless.
 */
export class Leases {
  readonly #leases = new Map<string, Lease>();
  readonly #checkpoints = new Map<string, number>();

  /** Gives a lease to a session if it is free, over, or its own already. With 0 ms its holder returns it. */
  take(name: string, session: string, forMs: number, now: number): LeaseResult {
    const lease = this.#leases.get(name);
    const isFree = lease === undefined || lease.until <= now || lease.session === session;
    if (!isFree) return { held: false, lease };
    if (forMs === 0) {
      this.#leases.delete(name);
      return { held: false, lease: undefined };
    }
    const taken = { session, until: now + forMs };
    this.#leases.set(name, taken);
    return { held: true, lease: taken };
  }

  /** Returns the lease if it is held at `now`. */
  held(name: string, now: number): Lease | undefined {
    const lease = this.#leases.get(name);
    return lease !== undefined && lease.until > now ? lease : undefined;
  }

  /** Records how far a follower has come. Returns `false` if the session does not hold its lease, or comes too late. */
  checkpoint(name: string, session: string, position: number, now: number): boolean {
    if (this.held(name, now)?.session !== session || position < this.checkpointOf(name)) return false;
    this.#checkpoints.set(name, position);
    return true;
  }

  /** Position up to which a follower has come; 0: it has not started. */
  checkpointOf(name: string): number {
    return this.#checkpoints.get(name) ?? 0;
  }

  get checkpoints(): ReadonlyMap<string, number> {
    return this.#checkpoints;
  }

  stored(): StoredLease[] {
    return Array.from(this.#leases, ([name, { session, until }]) => [name, session, until]);
  }

  restore(leases: readonly StoredLease[], checkpoints: readonly (readonly [string, number])[]): void {
    this.#leases.clear();
    this.#checkpoints.clear();
    for (const [name, session, until] of leases) this.#leases.set(name, { session, until });
    for (const [name, position] of checkpoints) this.#checkpoints.set(name, position);
  }
}
