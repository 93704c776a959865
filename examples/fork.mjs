// Agents try alternatives, each in its own branch. The better one is merged, and conflicts are reported key by key.
import { AgentContextCache, MergeConflictError } from 'agent-context-cache';

const cache = new AgentContextCache();
await cache.set('plan', { by: 'plane', price: 780 }, 'trip', { agent: 'planner' });
await cache.set('budget', 600, 'trip', { agent: 'owner' });

// A branch is created at once, and its writes stay inside.
const branches = new Map();
for (const [agent, price] of [
  ['thrifty', 240],
  ['hasty', 1_900],
]) {
  const branch = await cache.fork();
  await branch.set('plan', { by: agent === 'thrifty' ? 'train' : 'helicopter', price }, 'trip', { agent });
  branches.set(agent, branch);
}
console.log('still:', cache.get('plan', 'trip').by);

// Choose the branch that keeps to the budget, and show its changes.
const [agent, branch] = [...branches].find(([, each]) => each.get('plan', 'trip').price <= each.get('budget', 'trip'));
const { changed } = await cache.diff(cache, branch);
console.log(`${agent}:`, changed[0].before.value.by, 'to', changed[0].after.value.by);

// Meanwhile another agent has changed the same key.
await cache.set('plan', { by: 'car', price: 500 }, 'trip', { agent: 'owner' });
const failure = await cache.merge(branch).catch((error) => error);
if (!(failure instanceof MergeConflictError)) throw failure;
for (const { key, base, ours, theirs } of failure.conflicts) {
  console.log('conflict:', key, [base, ours, theirs].map((entry) => `${entry.value.by} (${entry.agent})`).join(', '));
}

// Resolve the conflict: the cheaper plan wins.
const onConflict = ({ ours, theirs }) => (theirs.value.price < ours.value.price ? 'theirs' : 'ours');
const { updates } = await cache.merge(branch, { onConflict });
console.log('merged', updates, 'update:', cache.get('plan', 'trip').by, 'by', cache.entry('plan', 'trip').agent);

for (const each of branches.values()) await each.shutdown();
await cache.shutdown();
