// Every method as a command: commands to the supervisor actor, and the state of the actors.
import { AgentContextCache } from 'agent-context-cache';

const cache = new AgentContextCache({
  onError: (error, { source, command }) => console.log(`${source} ${command}: ${error.message}`),
});

// Sent without an answer; a failure is reported to onError.
cache.supervisor.send({ type: 'context.set', namespace: 'auth', key: 'token', value: 't-1', ttl: '10m' });
cache.supervisor.send({ type: 'context.set', namespace: 'auth', key: 'token', value: 't-2', ifVersion: 7 });

// Sent with an answer.
console.log(await cache.ask({ type: 'context.entry', namespace: 'auth', key: 'token' }));

console.log(cache.supervisor.getSnapshot().value); // running
const { namespaces, errors } = await cache.ask({ type: 'cache.health' });
console.log(namespaces.resident, 'namespace in memory,', errors.count, 'error');
await cache.shutdown();
