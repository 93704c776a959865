import { type AgentContextCache, type Clock, type JsonValue, VersionConflictError } from '../index.ts';

/** The agents of the demonstration: a planner, a searcher and a booker who share a trip's context. */

/** What the planner decides. */
interface Plan {
  readonly city: string;
  readonly travellers: number;
  readonly budget: number;
  readonly done: readonly string[];
}

interface Offer {
  readonly flight: string;
  readonly price: number;
}

/** The demonstration tells what happened. */
export type Tell = (agent: string, text: string) => Promise<void>;

/** The types of a trip's namespace. */
type Trips = {
  readonly [namespace: string]: { plan: Plan; offers: readonly Offer[]; booking: JsonValue; trips: number };
};

const CITIES = ['Lisbon', 'Oslo', 'Kyoto', 'Quito', 'Porto', 'Hanoi'];
/** Offers are not held for longer. */
const OFFERS_TTL = '15s';
/** Trips that stay; older ones are dropped. */
const TRIPS_KEPT = 5;

/** Plays one trip after the other. */
export class DemoAgents {
  readonly #cache: AgentContextCache<Trips>;
  readonly #clock: Clock;
  readonly #tell: Tell;
  readonly #everyMs: number;
  readonly #signal: AbortSignal;

  constructor(cache: AgentContextCache, options: { clock: Clock; tell: Tell; everyMs: number; signal: AbortSignal }) {
    // The same cache: types are for the compiler only.
    this.#cache = cache as unknown as AgentContextCache<Trips>;
    this.#clock = options.clock;
    this.#tell = options.tell;
    this.#everyMs = options.everyMs;
    this.#signal = options.signal;
  }

  /** How many trips have been begun in this directory. */
  get trips(): number {
    return this.#cache.get('trips', 'demo') ?? 0;
  }

  /** So many trips, or until the signal. */
  async run(rounds: number): Promise<void> {
    for (let round = 0; round < rounds && !this.#signal.aborted; round += 1) {
      const trip = await this.#begin();
      // Listens before there is anything to hear.
      const searching = this.#search(trip);
      // Its failure is dealt with when its turn has come.
      searching.catch(() => {});
      await this.#pause();
      for (const step of [
        () => this.#plan(trip),
        () => searching,
        () => this.#disagree(trip),
        () => this.#book(trip),
      ]) {
        if (this.#signal.aborted) return;
        await step();
        await this.#pause();
      }
    }
  }

  async #begin(): Promise<string> {
    await this.#cache.update('trips', (trips = 0) => trips + 1, 'demo', { agent: 'demo' });
    const number = this.trips;
    const old = `trip-${number - TRIPS_KEPT}`;
    if (this.#cache.listNamespaces().includes(old)) await this.#cache.dropNamespace(old, { agent: 'demo' });
    return `trip-${number}`;
  }

  async #plan(trip: string): Promise<void> {
    const city = CITIES[this.trips % CITIES.length] ?? 'Lisbon';
    const plan: Plan = { city, travellers: 2, budget: 900, done: [] };
    const { version } = await this.#cache.set('plan', plan, trip, { agent: 'planner' });
    await this.#tell(
      'planner',
      `${trip}: ${city} for ${plan.travellers}, at most ${plan.budget} (plan, version ${version})`,
    );
  }

  /** Waits for the plan, which another agent writes. */
  async #search(trip: string): Promise<void> {
    for await (const update of this.#cache.watch({ namespace: trip, keys: ['plan'], signal: this.#signal })) {
      const { city } = update.value as unknown as Plan;
      const offers = [680, 815, 990].map((price, index) => ({
        flight: `${city.slice(0, 2).toUpperCase()}${101 + index}`,
        price,
      }));
      await this.#cache.set('offers', offers, trip, { agent: 'searcher', ttl: OFFERS_TTL });
      await this.#tell('searcher', `saw the plan, found ${offers.length} flights (offers, gone in ${OFFERS_TTL})`);
      return;
    }
  }

  /** Planner and searcher change the plan at the same time: the later one is told, reads again, and nothing is lost. */
  async #disagree(trip: string): Promise<void> {
    const seen = this.#cache.entry('plan', trip);
    if (seen === undefined) return;
    const ifVersion = seen.version;
    await this.#cache.set('plan', { ...seen.value, budget: 700 }, trip, { agent: 'planner', ifVersion });
    await this.#tell('planner', `lowered the budget to 700, over version ${ifVersion}`);
    try {
      const command = { type: 'context.set', namespace: trip, key: 'plan', agent: 'searcher', ifVersion } as const;
      await this.#cache.ask({ ...command, value: { ...seen.value, done: ['search'] } });
    } catch (error) {
      if (!(error instanceof VersionConflictError)) throw error;
      await this.#tell(
        'searcher',
        `wanted to write over version ${ifVersion} too: conflict, it is ${error.current?.version} now`,
      );
    }
    const addSearch = (plan: Plan | undefined) => plan && { ...plan, done: [...plan.done, 'search'] };
    const { version } = await this.#cache.update('plan', addSearch, trip, { agent: 'searcher' });
    const budget = this.#cache.get('plan', trip)?.budget;
    await this.#tell(
      'searcher',
      `marked the search as done with update(): version ${version}, and the budget is still ${budget}`,
    );
  }

  async #book(trip: string): Promise<void> {
    const { budget = 0 } = this.#cache.get('plan', trip) ?? {};
    const offer = this.#cache.get('offers', trip)?.find(({ price }) => price <= budget);
    if (offer === undefined) {
      await this.#tell('booker', 'no offer within the budget is left; nothing booked');
      return;
    }
    const { position } = await this.#cache.set('booking', { ...offer }, trip, { agent: 'booker', ifVersion: 0 });
    await this.#tell('booker', `booked ${offer.flight} for ${offer.price} (booking, position ${position} of the log)`);
  }

  #pause(): Promise<void> {
    if (this.#signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        this.#clock.clearTimeout(timer);
        this.#signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = this.#clock.setTimeout(done, this.#everyMs);
      this.#signal.addEventListener('abort', done);
    });
  }
}
