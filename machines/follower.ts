import { assign, fromPromise, setup } from 'xstate';

/** Context of a follower actor. */
export interface FollowerContext {
  /** Failures in a row. */
  readonly attempts: number;
  readonly lastError: Error | undefined;
}

/** Events of a follower actor. */
export type FollowerEvent =
  | { readonly type: 'log.advanced' }
  | { readonly type: 'sink.lost'; readonly cause: Error }
  | { readonly type: 'follower.retry' }
  | { readonly type: 'follower.stop' };

/** The step after connecting. */
export type Connected = 'follow' | 'resync';

/**
 * The machine behind mirror, broadcaster, backup and index. Delivers the updates of the log in order, at its own
 * pace; no writer waits for it.
 */
export const followerMachine = setup({
  types: { context: {} as FollowerContext, events: {} as FollowerEvent },
  actors: {
    connect: fromPromise<Connected>(() => Promise.resolve('follow')),
    resync: fromPromise<void>(() => Promise.resolve()),
    /** Reads the next batch, delivers it, saves the checkpoint. */
    deliver: fromPromise<void>(() => Promise.resolve()),
    disconnect: fromPromise<void>(() => Promise.resolve()),
  },
  actions: {
    noteFailure: assign({
      attempts: ({ context }) => context.attempts + 1,
      lastError: ({ context, event }) => failureOf(event) ?? context.lastError,
    }),
    noteSuccess: assign({ attempts: 0 }),
    reportFailure: () => {},
    reportStalled: () => {},
    /** Schedules the delivery of updates that do not fill a batch. */
    gather: () => {},
  },
  guards: {
    /** `true` if enough undelivered updates have gathered, or have waited long enough. */
    isDue: () => false,
    mustResync: ({ event }) => 'output' in event && event.output === 'resync',
    /** `true` if so many attempts failed in a row that an operator should check the destination. */
    isStalled: () => false,
  },
  delays: {
    /** Milliseconds before the next attempt; grows with the failures in a row. */
    backOff: () => 1000,
  },
}).createMachine({
  id: 'follower',
  context: { attempts: 0, lastError: undefined },
  initial: 'connecting',
  on: { 'follower.stop': '.stopping' },
  states: {
    connecting: {
      invoke: {
        src: 'connect',
        onDone: [{ guard: 'mustResync', target: 'resyncing' }, { target: 'catchingUp' }],
        onError: { actions: 'noteFailure', target: 'failed' },
      },
    },
    resyncing: {
      description: 'The destination does not match the log, so the whole state is copied to it.',
      invoke: {
        src: 'resync',
        onDone: 'catchingUp',
        onError: { actions: 'noteFailure', target: 'failed' },
      },
    },
    catchingUp: {
      invoke: {
        src: 'deliver',
        onDone: [
          { guard: 'isDue', actions: 'noteSuccess', target: 'catchingUp', reenter: true },
          { target: 'following' },
        ],
        onError: { actions: 'noteFailure', target: 'failed' },
      },
    },
    following: {
      description: 'Everything committed is delivered, or gathers to a batch.',
      entry: ['noteSuccess', 'gather'],
      always: { guard: 'isDue', target: 'catchingUp' },
      on: {
        'log.advanced': { guard: 'isDue', target: 'catchingUp' },
        'sink.lost': { actions: 'noteFailure', target: 'failed' },
      },
    },
    failed: {
      description: 'Releases the connection first.',
      entry: 'reportFailure',
      invoke: {
        src: 'disconnect',
        onDone: [{ guard: 'isStalled', target: 'stalled' }, { target: 'backingOff' }],
        onError: [{ guard: 'isStalled', target: 'stalled' }, { target: 'backingOff' }],
      },
    },
    backingOff: {
      after: { backOff: 'connecting' },
      on: { 'follower.retry': 'connecting' },
    },
    stalled: {
      description: 'Still retries, but has failed so often in a row that an operator should check the destination.',
      entry: 'reportStalled',
      after: { backOff: 'connecting' },
      on: { 'follower.retry': 'connecting' },
    },
    stopping: { invoke: { src: 'disconnect', onDone: 'stopped', onError: 'stopped' } },
    stopped: { type: 'final' },
  },
});

function failureOf(event: unknown): Error | undefined {
  if (typeof event !== 'object' || event === null) return undefined;
  const thrown = 'error' in event ? event.error : 'cause' in event ? event.cause : undefined;
  if (thrown === undefined) return undefined;
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}
