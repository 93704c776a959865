import type { ExpireEvent, NamespaceContext } from '../../machines/namespace.ts';
import type { BaseContextCache } from '../backends/base-context-cache.ts';
import { adoption, unknownKeys, writeAllAtOnce, writeAllToPrimary } from '../backends/primary.ts';
import { apply } from '../core/apply.ts';
import type { Acknowledgement, Appended, Incremented } from '../core/command.ts';
import { decide, expired, moveAbove } from '../core/decide.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import { settledAsRepeated } from '../core/operations.ts';
import { Request } from '../core/request.ts';
import type { PendingUpdate, Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { UpdateLog } from '../storage/update-log.ts';

/** Dependencies of a namespace actor. */
export interface NamespaceDeps {
  readonly log: UpdateLog;
  /** A primary of the user's own, which keeps the values. Without one the state keeps them. */
  readonly primary?: BaseContextCache | undefined;
  /** Largest number of requests that wait for an asynchronous primary. */
  readonly maxWaiting: number;
  /** Called before a namespace changes, if that was unknown when the command was handed over. */
  readonly aboutToChange?: ((namespace: string) => void) | undefined;
  /** Called when entries of a namespace have new deadlines, if that was unknown when the command was handed over. */
  readonly deadlinesChanged?: ((namespace: string) => void) | undefined;
  /**
   * Called just before an actor crashes while it applies updates that the log has taken, with those that the state does
   * not show yet.
   */
  readonly leftUnapplied?: ((namespace: string, updates: readonly Update[]) => void) | undefined;
  /** Called when an entry has been removed because its time had come. */
  readonly entryExpired?: (() => void) | undefined;
  /** The fold. Only tests replace it, to crash a namespace. */
  readonly apply?: typeof apply | undefined;
  /** Makes data commands skip the machine while it is `ready`. Default true; tests compare both. */
  readonly lane?: boolean | undefined;
}

/** Emits an applied update to the listeners of an actor. */
export type Emit = NamespaceContext['emit'];

/** The {@link Emit} of an actor without listeners. */
export const unheard: Emit = () => {};

/** Creates the error of a command during which the namespace crashed. */
export function crashed(cause: unknown): ContextCacheError {
  return new ContextCacheError(
    'NAMESPACE_UNAVAILABLE',
    'The namespace crashed during this command and is being restarted. The command may have taken effect: read the entry before you retry.',
    { cause },
  );
}

/** Executes commands and expiries on the state of a namespace, for the lane and the machine alike. */
export class Executor {
  /** `true` if the primary is asynchronous, so that a command takes more than one turn. */
  readonly asynchronous: boolean;
  readonly #log: UpdateLog;
  readonly #primary: BaseContextCache | undefined;
  readonly #maxWaiting: number;
  readonly #apply: typeof apply;
  readonly #aboutToChange: (namespace: string) => void;
  readonly #deadlinesChanged: (namespace: string) => void;
  readonly #leftUnapplied: NonNullable<NamespaceDeps['leftUnapplied']>;
  readonly #entryExpired: () => void;

  constructor(deps: NamespaceDeps) {
    this.#log = deps.log;
    this.#primary = deps.primary;
    this.#maxWaiting = deps.maxWaiting;
    this.#apply = deps.apply ?? apply;
    this.#aboutToChange = deps.aboutToChange ?? (() => {});
    this.#deadlinesChanged = deps.deadlinesChanged ?? (() => {});
    this.#leftUnapplied = deps.leftUnapplied ?? (() => {});
    this.#entryExpired = deps.entryExpired ?? (() => {});
    this.asynchronous = deps.primary !== undefined && deps.primary.synchronous !== true;
  }

  /**
   * Executes one command or expiry in this turn. A refusal fails the request. Only a broken invariant throws, which
   * crashes the actor.
   */
  execute(state: NamespaceState, event: Request | ExpireEvent, emit: Emit): void {
    // A refused expiry is retried with the next command at the latest.
    if (state.nextExpiryAt() <= event.at && !this.#expire(state, event, emit)) return;
    if (event instanceof Request) this.#executeRequest(state, event, emit);
  }

  /** Removes the entries that have expired. Returns `false` if that was refused. */
  #expire(state: NamespaceState, event: Request | ExpireEvent, emit: Emit): boolean {
    const request = event instanceof Request ? event : undefined;
    for (let update = expired(state, event.at); update !== undefined; update = expired(state, event.at)) {
      try {
        this.#take([update]);
      } catch (error) {
        request?.fail(toError(error));
        return false;
      }
      this.#applyAll(state, [update], emit);
      this.#entryExpired();
    }
    return true;
  }

  #executeRequest(state: NamespaceState, request: Request, emit: Emit): void {
    if (request.operationId !== undefined && settledAsRepeated(this.#log.operations, request)) return;
    let updates: PendingUpdate[];
    try {
      updates = decide(state, request, this.#log.floor);
      this.#take(updates);
    } catch (error) {
      request.fail(toError(error));
      return;
    }
    this.#applyAll(state, updates, emit);
    acknowledge(state, request, updates);
  }

  enqueue(context: NamespaceContext, event: Request | ExpireEvent): void {
    if (event instanceof Request && context.waiting.length >= this.#maxWaiting) {
      event.fail(
        new ContextCacheError(
          'OVERLOADED',
          `${this.#maxWaiting} commands already wait for the primary. Await some before sending more.`,
        ),
      );
    } else if (event instanceof Request || context.waiting.every((waiting) => waiting instanceof Request)) {
      context.waiting.push(event);
    }
  }

  /** Adopts what an asynchronous primary already held. Rejects if it cannot be read. */
  async hydrate({ state, waiting, emit }: NamespaceContext): Promise<void> {
    const primary = this.#primary;
    if (primary === undefined) return;
    const keys = unknownKeys(state, await primary.listKeys(state.name));
    const values = keys.length === 0 ? [] : await primary.getMany(keys, state.name);
    this.#adopt(state, adoption(state, keys, values, waiting[0]?.at ?? 0, this.#log.floor), emit);
  }

  /** Does the same as {@link hydrate} with a synchronous primary. */
  hydrateAtOnce(state: NamespaceState, at: number, emit: Emit): void {
    const primary = this.#primary;
    if (primary?.synchronous !== true) return;
    const keys = unknownKeys(state, primary.listKeys(state.name) as string[]);
    const values = keys.map((key) => primary.get(key, state.name) as JsonValue | undefined);
    this.#adopt(state, adoption(state, keys, values, at, this.#log.floor), emit);
  }

  #adopt(state: NamespaceState, updates: PendingUpdate[], emit: Emit): void {
    if (updates.length === 0) return;
    this.#aboutToChange(state.name);
    this.#log.append(updates);
    this.#applyAll(state, updates, emit);
  }

  /** Executes the command that has waited longest, with an asynchronous primary. Rejects only to crash the actor. */
  async writeNext(context: NamespaceContext): Promise<void> {
    const event = context.waiting.shift();
    const primary = this.#primary;
    if (event === undefined || primary === undefined) return;
    const request = event instanceof Request ? event : undefined;
    try {
      await this.#writeOne(context, primary, event.at, request);
    } catch (error) {
      request?.fail(crashed(error));
      throw error;
    }
    this.#deadlinesChanged(context.state.name);
  }

  async #writeOne(
    { state, emit }: NamespaceContext,
    primary: BaseContextCache,
    at: number,
    request: Request | undefined,
  ): Promise<void> {
    for (let update = expired(state, at); update !== undefined; update = expired(state, at)) {
      if (!(await this.#takeLater(state, primary, [update], request))) return;
      this.#applyAll(state, [update], emit);
      this.#entryExpired();
    }
    if (request === undefined || settledAsRepeated(this.#log.operations, request)) return;
    const updates = decided(state, request, this.#log.floor);
    if (updates === undefined || !(await this.#takeLater(state, primary, updates, request))) return;
    this.#applyAll(state, updates, emit);
    acknowledge(state, request, updates);
  }

  /**
   * Gives the updates to primary and log. If one of them throws, log and state are unchanged: everything that may refuse
   * comes first.
   */
  #take(updates: PendingUpdate[]): void {
    if (this.#primary !== undefined) {
      this.#checkLog();
      writeAllAtOnce(this.#primary, updates);
    }
    if (updates.length > 0) this.#log.append(updates);
  }

  /** Does the same as {@link #take} with an asynchronous primary. Returns `false` if the request has failed. */
  async #takeLater(
    state: NamespaceState,
    primary: BaseContextCache,
    updates: PendingUpdate[],
    request: Request | undefined,
  ): Promise<boolean> {
    try {
      this.#checkLog();
      await writeAllToPrimary(primary, updates);
    } catch (error) {
      request?.fail(toError(error));
      return false;
    }
    if (updates.length === 0) return true;
    this.#aboutToChange(state.name);
    // Another namespace may have been dropped while the primary was awaited.
    moveAbove(this.#log.floor, state, updates);
    try {
      this.#log.append(updates);
      return true;
    } catch (cause) {
      request?.fail(
        new ContextCacheError(
          'OUTCOME_UNKNOWN',
          'The primary accepted the write but the log did not. Write it again.',
          { cause },
        ),
      );
      return false;
    }
  }

  /** Throws if the log accepts no updates at present, before the primary is called. */
  #checkLog(): void {
    this.#log.append([]);
  }

  #applyAll(state: NamespaceState, updates: readonly PendingUpdate[], emit: Emit): void {
    try {
      // Not `for of`, whose compiled form is too large to be inlined.
      for (let i = 0; i < updates.length; i += 1) this.#applyOne(state, updates[i] as PendingUpdate, emit);
    } catch (error) {
      this.#leave(state, updates);
      throw error;
    }
  }

  #applyOne(state: NamespaceState, update: PendingUpdate, emit: Emit): void {
    this.#apply(state, this.#shown(update));
    if (emit !== unheard) emit({ type: 'context.updated', update });
  }

  /** Reports the updates that the log has taken and the state does not show. */
  #leave(state: NamespaceState, updates: readonly PendingUpdate[]): void {
    const left = updates.filter(({ position }) => position > state.position);
    this.#leftUnapplied(
      state.name,
      left.map((update) => this.#shown(update)),
    );
  }

  /** Returns the update as the state keeps it. */
  #shown(update: Update): Update {
    return this.#primary === undefined || update.operation !== 'set' ? update : withoutValue(update);
  }
}

/** Returns the updates of a request; `undefined` if a condition does not hold, in which case the request has failed. */
function decided(state: NamespaceState, request: Request, floor: number): PendingUpdate[] | undefined {
  try {
    return decide(state, request, floor);
  } catch (error) {
    request.fail(toError(error));
    return undefined;
  }
}

/** Returns the update without its value, which the primary keeps. */
function withoutValue(update: Update): Update {
  return { ...update, value: undefined as unknown as null };
}

function acknowledge(state: NamespaceState, request: Request, updates: readonly Update[]): void {
  const last = updates[updates.length - 1];
  const { version, position } = last ?? state;
  const acknowledgement = { version, position, changed: last !== undefined };
  if (last === undefined) request.succeed(acknowledgement);
  else request.succeed(answered(request, acknowledgement, last));
}

/** Adds what the caller of an `increment` or an `append` does not know. */
function answered({ type }: Request, acknowledgement: Acknowledgement, { key, value }: Update): Acknowledgement {
  if (type === 'context.increment') return { ...acknowledgement, value } as Incremented;
  return type === 'context.append' ? ({ ...acknowledgement, key } as Appended) : acknowledgement;
}
