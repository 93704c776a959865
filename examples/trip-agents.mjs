// A planner, a searcher and a booker share the context of a trip: they wait for each other, and two of them change the
// plan at the same time. `context-cache demo` (`npm start` in a clone) runs them in a directory that other commands and
// the inspector can look into; `node examples/trip-agents.mjs` runs one trip in memory.
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AgentContextCache, VersionConflictError } from 'agent-context-cache';

const CITIES = ['Lisbon', 'Oslo', 'Kyoto', 'Quito', 'Porto', 'Hanoi'];
const OFFERS_TTL = '15s';
/** Trips that stay; older ones are dropped. */
const TRIPS_KEPT = 5;

/** Returns the number of trips that were started in this cache so far. */
export function tripsStarted(cache) {
  return cache.get('trips', 'demo') ?? 0;
}

/**
 * Plays one trip after the other.
 *
 * @param cache any cache: the trips before are continued.
 * @param options `say(agent, text)` is called with each event; `everyMs` is the time between two steps; `trips` the number
 *   of trips, and `signal` ends them early.
 */
export async function playTrips(cache, { say, everyMs = 0, trips = 1, signal = new AbortController().signal }) {
  for (let count = 0; count < trips && !signal.aborted; count += 1) {
    const trip = await startTrip(cache);
    // The searcher listens before there is a plan.
    const searching = search(cache, trip, say, signal);
    // A failure is handled when its step comes.
    searching.catch(() => {});
    for (const step of [plan, () => searching, disagree, book]) {
      await pause(everyMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      await step(cache, trip, say);
    }
    await pause(everyMs, undefined, { signal }).catch(() => {});
  }
}

async function startTrip(cache) {
  await cache.update('trips', (trips = 0) => trips + 1, 'demo', { agent: 'demo' });
  const number = tripsStarted(cache);
  const old = `trip-${number - TRIPS_KEPT}`;
  if (cache.listNamespaces().includes(old)) await cache.dropNamespace(old, { agent: 'demo' });
  return `trip-${number}`;
}

async function plan(cache, trip, say) {
  const city = CITIES[tripsStarted(cache) % CITIES.length];
  const value = { city, travellers: 2, budget: 900, done: [] };
  const { version } = await cache.set('plan', value, trip, { agent: 'planner' });
  await say('planner', `${trip}: ${city} for ${value.travellers}, at most ${value.budget} (plan, version ${version})`);
}

/** Waits for the plan, which another agent writes. */
async function search(cache, trip, say, signal) {
  for await (const { value } of cache.watch({ namespace: trip, keys: ['plan'], signal })) {
    const offers = [680, 815, 990].map((price, index) => ({
      flight: `${value.city.slice(0, 2).toUpperCase()}${101 + index}`,
      price,
    }));
    await cache.set('offers', offers, trip, { agent: 'searcher', ttl: OFFERS_TTL });
    await say('searcher', `saw the plan, found ${offers.length} flights (offers, expire in ${OFFERS_TTL})`);
    return;
  }
}

/** Planner and searcher change the plan at the same time. The later one is refused, reads again, and loses nothing. */
async function disagree(cache, trip, say) {
  const seen = cache.entry('plan', trip);
  if (seen === undefined) return;
  const ifVersion = seen.version;
  await cache.set('plan', { ...seen.value, budget: 700 }, trip, { agent: 'planner', ifVersion });
  await say('planner', `lowered the budget to 700, based on version ${ifVersion}`);
  try {
    await cache.set('plan', { ...seen.value, done: ['search'] }, trip, { agent: 'searcher', ifVersion });
  } catch (error) {
    if (!(error instanceof VersionConflictError)) throw error;
    const { version } = error.current ?? {};
    await say('searcher', `wrote on top of version ${ifVersion} as well: conflict, the plan is at version ${version}`);
  }
  const addSearch = (current) => current && { ...current, done: [...current.done, 'search'] };
  const { version } = await cache.update('plan', addSearch, trip, { agent: 'searcher' });
  const { budget } = cache.get('plan', trip);
  await say('searcher', `marked the search as done with update(): version ${version}, the budget is still ${budget}`);
}

async function book(cache, trip, say) {
  const { budget = 0 } = cache.get('plan', trip) ?? {};
  const offer = cache.get('offers', trip)?.find(({ price }) => price <= budget);
  if (offer === undefined) {
    await say('booker', 'no offer within the budget is left; nothing was booked');
    return;
  }
  const { position } = await cache.set('booking', { ...offer }, trip, { agent: 'booker', ifVersion: 0 });
  await say('booker', `booked ${offer.flight} for ${offer.price} (booking, position ${position} of the log)`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const cache = new AgentContextCache();
  await playTrips(cache, { say: (agent, text) => console.log(`${agent}:`, text) });
  await cache.shutdown();
}
