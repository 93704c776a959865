import { fromPromise, setup } from 'xstate';
import type { NamespaceState } from '../src/core/namespace-state.ts';
import type { Request } from '../src/core/request.ts';
import type { Update } from '../src/core/update.ts';

/** Context of a namespace actor. Only this actor changes `state` and `waiting`, in place. */
export interface NamespaceContext {
  readonly state: NamespaceState;
  /** Requests that wait for their turn, in order. */
  readonly waiting: (Request | ExpireEvent)[];
  /** `true` if `state` includes the entries that the primary already held. */
  hydrated: boolean;
  /** Emits an applied update to the listeners of the actor. */
  readonly emit: (event: ContextUpdatedEvent) => void;
}

/** Event that a namespace actor emits for each update it applies: `actor.on('context.updated', …)`. */
export interface ContextUpdatedEvent {
  readonly type: 'context.updated';
  readonly update: Update;
}

/** Input of a namespace actor. */
export type NamespaceInput = Pick<NamespaceContext, 'state' | 'hydrated' | 'emit'>;

/** Removes the entries that have expired at `at`. */
export interface ExpireEvent {
  readonly type: 'namespace.expire';
  readonly at: number;
}

/** Events of a namespace actor. A `Request` is a data command `context.*`. */
export type NamespaceEvent = Request | ExpireEvent | { readonly type: 'namespace.passivate' };

/**
 * The life of a namespace: the single writer of its keys.
 *
 * In `ready` a command is executed at once. With an asynchronous primary of the user's own, `ready` changes to `writing`,
 * which executes one command at a time while the others wait.
 */
export const namespaceMachine = setup({
  types: {
    context: {} as NamespaceContext,
    events: {} as NamespaceEvent,
    input: {} as NamespaceInput,
    emitted: {} as ContextUpdatedEvent,
  },
  actions: {
    /** Decides, appends to the log, applies. */
    execute: () => {},
    enqueue: () => {},
    /** Executes the commands that waited while the state was read. */
    executeWaiting: () => {},
    rejectWaiting: () => {},
    markHydrated: () => {},
    /** Fails the actor with the error, so that the supervisor restarts it. */
    crash: () => {},
  },
  guards: {
    isHydrated: () => true,
    /** `true` if the primary is asynchronous, so that a command takes more than one turn. */
    primaryIsAsynchronous: () => false,
    hasWaiting: () => false,
    isDropped: () => false,
  },
  actors: {
    hydrate: fromPromise<void, NamespaceContext>(() => Promise.resolve()),
    writeNext: fromPromise<void, NamespaceContext>(() => Promise.resolve()),
  },
}).createMachine({
  id: 'namespace',
  context: ({ input }) => ({ ...input, waiting: [] }),
  initial: 'starting',
  states: {
    starting: { always: [{ guard: 'isHydrated', target: 'ready' }, { target: 'absent' }] },
    absent: {
      description: 'The primary has not been read yet; the first command reads it.',
      on: {
        'context.*': { actions: 'enqueue', target: 'hydrating' },
        'namespace.passivate': 'passivated',
      },
    },
    hydrating: {
      invoke: {
        src: 'hydrate',
        input: ({ context }) => context,
        onDone: [
          { guard: 'primaryIsAsynchronous', actions: 'markHydrated', target: 'writing' },
          { actions: ['markHydrated', 'executeWaiting'], target: 'ready' },
        ],
        onError: { actions: 'rejectWaiting', target: 'absent' },
      },
      on: {
        'context.*': { actions: 'enqueue' },
        'namespace.expire': { actions: 'enqueue' },
      },
    },
    ready: {
      always: { guard: 'isDropped', target: 'dropped' },
      on: {
        'context.*': [
          { guard: 'primaryIsAsynchronous', actions: 'enqueue', target: 'writing' },
          { actions: 'execute' },
        ],
        'namespace.expire': [
          { guard: 'primaryIsAsynchronous', actions: 'enqueue', target: 'writing' },
          { actions: 'execute' },
        ],
        'namespace.passivate': 'passivated',
      },
    },
    writing: {
      description: 'The primary is executing one command, which is logged and applied once the primary accepts it.',
      invoke: {
        src: 'writeNext',
        input: ({ context }) => context,
        onDone: [{ guard: 'hasWaiting', target: 'writing', reenter: true }, { target: 'ready' }],
        onError: { actions: 'crash' },
      },
      on: {
        'context.*': { actions: 'enqueue' },
        'namespace.expire': { actions: 'enqueue' },
      },
    },
    passivated: { type: 'final' },
    dropped: { type: 'final' },
  },
});
