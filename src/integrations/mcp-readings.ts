import { ReadSet } from '../core/read-set.ts';
import type { Acknowledgement, ContextStore } from '../index.ts';
import type { Basis } from '../types.ts';

/** Most agents of a connection whose readings are remembered. A client may name itself anew with each request. */
const MAX_AGENTS = 16;

/** An entry that a client was shown, or a change of it. */
export interface Shown {
  readonly namespace: string;
  /** `null` for what is not about a single key. */
  readonly key: string | null;
  /** 0: the key was missing. */
  readonly version: number;
}

/** Notes what a client is shown from one memory, and makes its writes there. */
export interface Notes {
  /** Notes entries that the client is shown. */
  shown(...entries: readonly Shown[]): void;
  /** Makes a write of one key with what was shown as its basis; without one if that is not known. */
  based<Written extends Acknowledgement>(
    namespace: string,
    key: string,
    write: (basis: Basis | undefined) => Promise<Written>,
  ): Promise<Written>;
}

/** Remembers nothing. */
export const NO_NOTES: Notes = { shown() {}, based: (_, __, write) => write(undefined) };

/** Remembers what one agent was shown. */
class Agent {
  readonly #reads = new ReadSet();
  #memory: ContextStore | undefined;
  /** `true` once it was shown entries of two memories: a version of one means something else in the other. */
  #isMixed = false;

  notes(memory: ContextStore): Notes {
    return {
      shown: (...entries) => {
        for (const { namespace, key, version } of entries) if (key !== null) this.#add(memory, namespace, key, version);
      },
      based: async (namespace, key, write) => {
        const { order } = this.#reads;
        const basis = this.#basis(memory);
        const written = await write(basis);
        if (basis !== undefined && written.changed) this.#reads.forget(order);
        if (written.changed) this.#add(memory, namespace, key, written.version);
        return written;
      },
    };
  }

  #add(memory: ContextStore, namespace: string, key: string, version: number): void {
    this.#memory ??= memory;
    if (memory !== this.#memory) this.#isMixed = true;
    else if (!this.#isMixed) this.#reads.add(namespace, key, version, memory.position);
  }

  /** Returns `undefined` if nothing was shown: the agent may know entries from an earlier session. */
  #basis(memory: ContextStore): Basis | undefined {
    const basis = this.#reads.basis();
    return this.#isMixed || memory !== this.#memory || basis.length === 0 ? undefined : basis;
  }
}

/** Remembers what the agents of a connection were shown, so that their next writes say what they are based on. */
export class Readings {
  readonly #agents = new Map<string, Agent>();

  /** Returns the notes of an agent about a cache or a branch. */
  of(memory: ContextStore, agent: string | undefined): Notes {
    if (agent === undefined) return NO_NOTES;
    const known = this.#agents.get(agent);
    // Of further agents nothing is remembered: what is forgotten in between would be missing.
    if (known === undefined && this.#agents.size >= MAX_AGENTS) return NO_NOTES;
    const found = known ?? new Agent();
    this.#agents.set(agent, found);
    return found.notes(memory);
  }
}
