import { VersionConflictError } from '../core/conflict.ts';
import type { Request } from '../core/request.ts';

/** A write that was refused because its `ifVersion` did not hold. */
export interface RefusedWrite {
  /** Instant of the command, epoch milliseconds. */
  readonly at: number;
  readonly namespace: string;
  readonly key: string;
  readonly agent: string | null;
  /** Version that the writer expected; 0 for no entry. */
  readonly expected: number;
  /** Version that the entry had; 0 if there was no entry. */
  readonly found: number;
}

/** Number of refused writes kept for {@link Conflicts.recent}. */
const KEPT = 50;
/** Maximum number of agents with a count of their own. The agent whose last conflict is the oldest is dropped first. */
const MAX_AGENTS = 1_000;

/**
 * The writes refused since the cache started because another writer was faster. Each attempt of an `update` counts.
 * Callers handle conflicts themselves, so nothing else records them.
 */
export class Conflicts {
  /** Number of refused writes. */
  count = 0;
  readonly #recent: RefusedWrite[] = [];
  readonly #byAgent = new Map<string | null, number>();

  /** The last 50, newest first. */
  get recent(): readonly RefusedWrite[] {
    return [...this.#recent].reverse();
  }

  /** Refused writes by agent. */
  get byAgent(): ReadonlyMap<string | null, number> {
    return this.#byAgent;
  }

  /** Notes that a request was refused for its version. Ignores other errors. */
  add({ at, agent }: Pick<Request, 'at' | 'agent'>, error: Error): void {
    if (!(error instanceof VersionConflictError)) return;
    const { namespace, key, expected, current } = error;
    this.count += 1;
    this.#recent.push({ at, namespace, key, agent, expected, found: current?.version ?? 0 });
    if (this.#recent.length > KEPT) this.#recent.shift();
    const before = this.#byAgent.get(agent) ?? 0;
    this.#byAgent.delete(agent);
    this.#byAgent.set(agent, before + 1);
    if (this.#byAgent.size <= MAX_AGENTS) return;
    const [oldest] = this.#byAgent.keys();
    this.#byAgent.delete(oldest as string | null);
  }
}
