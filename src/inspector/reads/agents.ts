import type { Clock } from '../../core/clock.ts';
import { TimeSlice } from '../../core/time-slice.ts';
import type { Inspectable } from '../inspectable.ts';
import type { AgentActivity, AgentsDetail } from '../protocol.ts';

/** Updates of the log that the first answer covers. Later answers add what came since. */
const LOOK_BACK = 10_000;
/** Most updates read to catch up, about a second of work. After more of them counting restarts at the look-back. */
const MAX_CATCH_UP = 200_000;
/** Most agents counted; the one silent for longest is discarded first. */
const MAX_AGENTS = 1_000;

type Counted = Omit<AgentActivity, 'conflicts'>;

/** Counts the writes of each agent from the log, on request: nothing is attached to the cache. */
export class Agents {
  readonly #cache: Inspectable;
  readonly #clock: Clock;
  /** By agent, sorted by last write, newest last. */
  #agents = new Map<string | null, Counted>();
  #from = 0;
  #to = 0;
  #reading: Promise<void> | undefined;

  constructor(cache: Inspectable, clock: Clock) {
    this.#cache = cache;
    this.#clock = clock;
  }

  async detail(limit: number): Promise<AgentsDetail> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
    const { count, recent, byAgent } = this.#cache.inspection.conflicts;
    const silent = [...byAgent.keys()].filter((agent) => !this.#agents.has(agent));
    const counted = [...this.#agents.values()].reverse();
    const agents = [...counted, ...silent.map((agent) => ({ agent, updates: 0, last: null }))];
    return {
      agents: agents.slice(0, limit).map((each) => ({ ...each, conflicts: byAgent.get(each.agent) ?? 0 })),
      total: agents.filter(({ agent }) => agent !== null).length,
      ...{ from: this.#from, to: this.#to },
      conflicts: { count, recent },
    };
  }

  async #read(): Promise<void> {
    const { first, committed } = this.#cache.inspection.log;
    if (this.#to === 0 || committed - this.#to > MAX_CATCH_UP || this.#to + 1 < first) {
      this.#agents = new Map();
      this.#from = Math.max(first, committed - LOOK_BACK + 1);
      this.#to = this.#from - 1;
    }
    if (this.#to >= committed) return;
    const slice = new TimeSlice(this.#clock);
    for await (const { agent, position, namespace, key, at } of this.#cache.readLog({
      from: this.#to + 1,
      to: committed,
    })) {
      const updates = (this.#agents.get(agent)?.updates ?? 0) + 1;
      this.#agents.delete(agent);
      this.#agents.set(agent, { agent, updates, last: { at, position, namespace, key } });
      for (const silent of this.#agents.keys()) {
        if (this.#agents.size <= MAX_AGENTS) break;
        this.#agents.delete(silent);
      }
      this.#to = position;
      if (slice.over) await slice.pause();
    }
  }
}
