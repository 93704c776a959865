import type { ActorRefFrom } from 'xstate';
import type { NamespaceLogic } from '../actors/namespace.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import type { Request } from '../core/request.ts';

/**
 * `resident`: in memory, maybe without an actor yet. `restarting`: its actor has crashed and is being brought back;
 * commands wait, reads go on. `failed`: given up; `namespace.restart` tries again.
 */
export type NamespaceStatus = 'resident' | 'restarting' | 'failed';

const NONE: readonly never[] = [];

/** What the supervisor keeps of a namespace that is in memory. */
export class NamespaceRecord {
  readonly name: string;
  state: NamespaceState;
  status: NamespaceStatus = 'resident';
  actor: ActorRefFrom<NamespaceLogic> | undefined = undefined;
  /** Touched since the last look for idle namespaces. */
  used = true;
  /** When the supervisor will look at its expiries; `undefined`: not at all. */
  wakeAt: number | undefined = undefined;
  /** Instants of its crashes. */
  crashes: readonly number[] = NONE;
  lastError: Error | undefined = undefined;
  #held: Request[] | undefined = undefined;

  constructor(name: string, state: NamespaceState) {
    this.name = name;
    this.state = state;
  }

  /** Commands that came while it was `restarting`. */
  get held(): readonly Request[] {
    return this.#held ?? NONE;
  }

  hold(request: Request): void {
    this.#held ??= [];
    this.#held.push(request);
  }

  /** Hands over what is held. */
  takeHeld(): readonly Request[] {
    const held = this.held;
    this.#held = undefined;
    return held;
  }
}
