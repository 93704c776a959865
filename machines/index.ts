export { followerMachine } from './follower.ts';
export { namespaceMachine } from './namespace.ts';
export { supervisorMachine } from './supervisor.ts';
