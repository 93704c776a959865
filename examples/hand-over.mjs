// Three agents work on one trip without knowing each other: each waits for a key and writes its own.
import { AgentContextCache } from 'agent-context-cache';

const cache = new AgentContextCache();
const trip = cache.namespace('trip/42');

/** Resolves with the value of a key as soon as it is set. */
async function waitFor(key) {
  for await (const update of trip.watch({ keys: [key], include: 'snapshot' })) {
    if (update.operation === 'set') return update.value;
  }
}

async function planner() {
  await trip.set('plan', { from: 'YYZ', to: 'LIS', budget: 900 }, { agent: 'planner' });
}

async function searcher() {
  const plan = await waitFor('plan');
  const offers = [
    { flight: 'TP 258', price: 780 },
    { flight: 'AC 814', price: 1020 },
  ].filter(({ price }) => price <= plan.budget);
  await trip.set('offers', offers, { agent: 'searcher', ttl: '15m' });
}

async function booker() {
  const [offer] = await waitFor('offers');
  await trip.batch(
    [
      { operation: 'set', key: 'booking', value: { ...offer, state: 'booked' } },
      { operation: 'delete', key: 'offers' },
    ],
    { agent: 'booker' },
  );
}

await Promise.all([booker(), searcher(), planner()]);
console.log(trip.get('booking'), trip.listKeys());

for await (const { position, agent, operation, key } of cache.readLog({ namespace: 'trip/42' })) {
  console.log(position, agent, operation, key);
}
await cache.shutdown();
