export { type Connected, type FollowerContext, type FollowerEvent, followerMachine } from './follower.ts';
export {
  type ContextUpdatedEvent,
  type ExpireEvent,
  type NamespaceContext,
  type NamespaceEvent,
  type NamespaceInput,
  namespaceMachine,
} from './namespace.ts';
export { type SupervisorEvent, supervisorMachine } from './supervisor.ts';
