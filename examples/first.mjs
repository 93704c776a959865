// Shared memory for agents in one process. Needs no server.
import { AgentContextCache } from 'agent-context-cache';

const cache = new AgentContextCache();

// A subscriber gets every update, in order.
const stop = cache.subscribe(({ agent, operation, key, version }) => {
  console.log(`${agent} did ${operation} ${key} (version ${version})`);
});

// A write is visible at once. Await it to know its version.
await cache.set('plan', { steps: ['search', 'book'] }, 'trip', { agent: 'planner' });
await cache.set('offer', { flight: 'AC 12', price: 310 }, 'trip', { agent: 'searcher', ttl: '10m' });
console.log(cache.get('plan', 'trip').steps[0]); // search

// Read, change and write in one step, safe against other writers.
await cache.update('plan', (plan) => ({ ...plan, steps: plan.steps.slice(1) }), 'trip', { agent: 'booker' });

// Or write only if the version is still the same: a stale write is refused with the current entry.
await cache.set('plan', { steps: [] }, 'trip', { agent: 'late', ifVersion: 1 }).catch((error) => {
  console.log(`${error.code}: the plan is at version ${error.current.version}`);
});

stop();
await cache.shutdown();
