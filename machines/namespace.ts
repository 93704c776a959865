import { fromPromise, setup } from 'xstate';
import type { NamespaceState } from '../src/core/namespace-state.ts';
import type { Request } from '../src/core/request.ts';
import type { Update } from '../src/core/update.ts';

/** What a namespace actor knows. `state` and `waiting` are changed in place, by this actor only. */
export interface NamespaceContext {
  readonly state: NamespaceState;
  /** Requests that have to wait for their turn, in order. */
  readonly waiting: (Request | ExpireEvent)[];
  /** Whether `state` holds what the primary held before. */
  hydrated: boolean;
  /** Tells listeners of the actor of an update that has been applied. */
  readonly emit: (event: ContextUpdatedEvent) => void;
}

/** What a namespace actor emits: `actor.on('context.updated', …)` hears of each update as it is applied. */
export interface ContextUpdatedEvent {
  readonly type: 'context.updated';
  readonly update: Update;
}

/** What a namespace actor begins with. */
export type NamespaceInput = Pick<NamespaceContext, 'state' | 'hydrated' | 'emit'>;

/** Asks the namespace to take out what has expired at `at`. */
export interface ExpireEvent {
  readonly type: 'namespace.expire';
  readonly at: number;
}

/** What a namespace actor understands. `Request`s are the data commands `context.*`. */
export type NamespaceEvent = Request | ExpireEvent | { readonly type: 'namespace.passivate' };

/**
 * The life of a namespace: the single writer of its keys.
 *
 * In `ready` a command is executed at once. Where a primary of the user's own keeps the values, `ready` hands over to
 * `writing`: one command at a time, the others wait.
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
    /** Executes what waited while the state was being fetched. */
    executeWaiting: () => {},
    rejectWaiting: () => {},
    markHydrated: () => {},
    /** Fails the actor with the error, so that the supervisor restarts it. */
    crash: () => {},
  },
  guards: {
    isHydrated: () => true,
    /** The primary answers later, so that a command takes more than one turn. */
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
      description: 'What the primary holds of this namespace is not known yet; the first command asks.',
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
      description: 'One command is with the primary; it is logged and applied when the primary has taken it.',
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
