// Shared memory for agents in one process. Needs no server.
import { AgentContextCache } from 'agent-context-cache';

const cache = new AgentContextCache();

// Whoever watches hears of every update, in order.
const stop = cache.subscribe(({ agent, operation, key, version }) => {
  console.log(`${agent} did ${operation} ${key} (version ${version})`);
});

// A write is visible at once; await it only if you want to know its version.
await cache.set('plan', { steps: ['search', 'book'] }, 'trip', { agent: 'planner' });
await cache.set('offer', { flight: 'AC 12', price: 310 }, 'trip', { agent: 'searcher', ttl: '10m' });
console.log(cache.get('plan', 'trip').steps[0]); // search

// Read, change, write: atomic, whoever else writes.
await cache.update('plan', (plan) => ({ ...plan, steps: plan.steps.slice(1) }), 'trip', { agent: 'booker' });

// Or only if nobody else did: a stale write is refused, and told what is there now.
await cache.set('plan', { steps: [] }, 'trip', { agent: 'late', ifVersion: 1 }).catch((error) => {
  console.log(`${error.code}: the plan is at version ${error.current.version}`);
});

stop();
await cache.shutdown();
