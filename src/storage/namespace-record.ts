import type { NamespaceState } from '../core/namespace-state.ts';
import type { Request } from '../core/request.ts';

/**
 * Status of a namespace in memory. `resident`: usable, possibly without an actor yet. `restarting`: its actor crashed and
 * is being restarted; commands wait, reads continue. `failed`: given up until `namespace.restart` is sent.
 */
export type NamespaceStatus = 'resident' | 'restarting' | 'failed';

/** The actor of a namespace, as far as those that keep its record need it: a part of an XState actor reference. */
export interface NamespaceActor {
  send(
    event:
      | Request
      | { readonly type: 'namespace.expire'; readonly at: number }
      | { readonly type: 'namespace.passivate' }
      | { readonly type: 'namespace.crash'; readonly error: unknown },
  ): void;
  getSnapshot(): {
    readonly value: unknown;
    readonly status: 'active' | 'done' | 'error' | 'stopped';
    readonly error: unknown;
    readonly context: { readonly waiting: readonly unknown[] };
  };
  /** Calls `next` after each event that the actor has taken. */
  subscribe(observer: { next(snapshot: { readonly value?: unknown }): void; error(): void; complete(): void }): {
    unsubscribe(): void;
  };
}

const NONE: readonly never[] = [];

/** A namespace in memory: its state, its actor if it has one, and its crashes. */
export class NamespaceRecord {
  readonly name: string;
  state: NamespaceState;
  status: NamespaceStatus = 'resident';
  actor: NamespaceActor | undefined = undefined;
  /** `true` if it was used since the last scan for idle namespaces. */
  used = true;
  /** Instant of the next scheduled expiry, epoch milliseconds; `undefined` if none is scheduled. */
  wakeAt: number | undefined = undefined;
  /** Instants of its crashes. */
  crashes: readonly number[] = NONE;
  lastError: Error | undefined = undefined;
  #held: Request[] | undefined = undefined;

  constructor(name: string, state: NamespaceState) {
    this.name = name;
    this.state = state;
  }

  /** Commands that arrived while the namespace was `restarting`. */
  get held(): readonly Request[] {
    return this.#held ?? NONE;
  }

  hold(request: Request): void {
    this.#held ??= [];
    this.#held.push(request);
  }

  /** Returns the held commands and holds them no longer. */
  takeHeld(): readonly Request[] {
    const held = this.held;
    this.#held = undefined;
    return held;
  }
}
