import { type ErrorActorEvent, setup } from 'xstate';
import type { ContextCommand } from '../src/core/command.ts';
import type { Request } from '../src/core/request.ts';

/** Events of the supervisor: commands, reports of its actors, and its own end. */
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
    /** Refuses malformed commands, spawns the namespace if necessary, and hands it the command. */
    route: () => {},
    refuse: () => {},
    /** Restarts the crashed namespace from the log, or gives it up. */
    superviseCrash: () => {},
    /** Releases the actor of a namespace that was passivated or dropped. */
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
      description: 'Followers deliver the remaining updates; new commands are refused.',
      on: {
        'context.*': { actions: 'refuse' },
        'supervisor.stop': 'stopped',
      },
    },
    stopped: { type: 'final', entry: 'releaseAll' },
  },
});
