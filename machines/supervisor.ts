import { type ErrorActorEvent, setup } from 'xstate';
import type { ContextCommand } from '../src/core/command.ts';
import type { Request } from '../src/core/request.ts';

/** What the supervisor understands: commands, what its actors report, and its own end. */
export type SupervisorEvent =
  | ContextCommand
  | Request
  | ErrorActorEvent
  | { readonly type: `xstate.done.actor.${string}`; readonly output: unknown; readonly actorId: string }
  | { readonly type: 'supervisor.drain' }
  | { readonly type: 'supervisor.stop' };

/** The life of the supervisor: routes commands while it runs, refuses them while it drains. */
export const supervisorMachine = setup({
  types: { events: {} as SupervisorEvent },
  actions: {
    /** Refuses what is malformed; spawns or wakes the namespace where needed; hands the command to it. */
    route: () => {},
    refuse: () => {},
    /** Restarts the crashed namespace from the log, or gives it up. */
    superviseCrash: () => {},
    /** A namespace was passivated or dropped: lets go of its actor. */
    release: () => {},
    releaseAll: () => {},
  },
}).createMachine({
  id: 'supervisor',
  initial: 'running',
  on: {
    'xstate.error.actor.*': { actions: 'superviseCrash' },
    'xstate.done.actor.*': { actions: 'release' },
  },
  states: {
    running: {
      on: {
        'context.*': { actions: 'route' },
        'topics.*': { actions: 'route' },
        'backup.*': { actions: 'route' },
        'namespace.*': { actions: 'route' },
        'cache.*': { actions: 'route' },
        'supervisor.drain': 'draining',
      },
    },
    draining: {
      description: 'Followers deliver what is left; nothing new is taken.',
      on: {
        'context.*': { actions: 'refuse' },
        'supervisor.stop': 'stopped',
      },
    },
    stopped: { type: 'final', entry: 'releaseAll' },
  },
});
