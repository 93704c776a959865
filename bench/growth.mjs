// Shows that a read and a write cost the same however many keys and namespaces there are, except for the processor's caches,
// whose effect the nested Map shows.
import { checkSame } from './lib/check.mjs';
import { nanosecondsPerOperation, paceOf } from './lib/passes.mjs';
import { storesAsCandidates } from './lib/stores.mjs';
import { VALUES } from './lib/values.mjs';
import { measureWrites } from './lib/writes.mjs';

const shown = (count) =>
  count >= 1e6 ? `${count / 1e6} million` : count >= 1e3 ? `${count / 1e3} thousand` : String(count);

export default {
  order: 16,
  title: 'growth',
  about: 'nanoseconds of the processor for a write (and a read) at random over keys that are there',
  metrics: {
    set: { unit: 'ns', better: 'less', what: 'set' },
    get: { unit: 'ns', better: 'less', what: 'get' },
  },
  cases: ({ quick, large }) => {
    if (quick) return [keysCase(1_000), keysCase(10_000, true), namespacesCase(100), namespacesCase(1_000, true)];
    const keys = [1_000, 10_000, 100_000, 1_000_000, ...(large ? [10_000_000] : [])];
    const namespaces = [1, 10, 100, 1_000, 10_000, 100_000, ...(large ? [1_000_000] : [])];
    return [
      ...keys.map((count) => keysCase(count, count === keys.at(-1))),
      ...namespaces.map((count) => namespacesCase(count, count === namespaces.at(-1))),
    ];
  },
  candidates: storesAsCandidates('nested Map', 'agent-context-cache'),
  async measure(context) {
    const { result, store, space } = await measureWrites(context, { make: VALUES.number });
    const { count, namespaceOf, keyOf, order } = space;
    let found = 0;
    const read = (from, many) => {
      for (let j = from; j < from + many; j += 1) {
        const i = order[j % count];
        if (typeof store.get(namespaceOf[i], keyOf[i]) === 'number') found += 1;
      }
    };
    const { ns, done } = await nanosecondsPerOperation(read, paceOf(context.scale), 10_000);
    checkSame(found, done, 'the number of values that were found');
    await store.close?.();
    return { set: result.ns, get: ns };
  },
  plots: (result) => ({
    keys: curves(result, 'keys', 'keys in one namespace'),
    namespaces: curves(result, 'namespaces', 'namespaces (of 1,000 keys in all, or one key each)'),
  }),
};

function keysCase(keys, headline = false) {
  return { name: `${shown(keys)} keys, 1 namespace`, axis: 'keys', headline, keys, namespaces: 1 };
}

function namespacesCase(namespaces, headline = false) {
  const keys = Math.max(1_000, namespaces);
  return { name: `${shown(namespaces)} namespaces`, axis: 'namespaces', headline, keys, namespaces };
}

function curves({ cases }, axis, x) {
  const own = cases.filter(({ parameters }) => parameters.axis === axis);
  const lines = ['nested Map', 'agent-context-cache'].flatMap((name) =>
    ['get', 'set'].map((metric) => ({
      name: `${name}: ${metric}`,
      limit: name === 'nested Map',
      points: own.flatMap(({ parameters, candidates }) => {
        const value = candidates.find((each) => each.name === name)?.metrics?.[metric].median;
        return value === undefined ? [] : [[parameters[axis], value]];
      }),
    })),
  );
  return { title: `cost of a get and a set by ${axis}`, x, y: 'nanoseconds', lines };
}
