// Measures what a read costs, at random over all keys.
import { check, checkSame } from './lib/check.mjs';
import { fill } from './lib/fill.mjs';
import { COST, nanosecondsPerOperation, paceOf } from './lib/passes.mjs';
import { makeSpace } from './lib/space.mjs';
import { IN_MEMORY, makeStore, sizes, storesAsCandidates } from './lib/stores.mjs';

const BURST = 10_000;

export default {
  order: 1,
  title: '`get`',
  about: 'a read of a number, at random over all keys, in nanoseconds',
  metrics: COST,
  goals: [
    { ofLimit: 1.5, text: 'within 1.5× of a nested Map' },
    { ahead: 1, traits: ['namespaces', 'isolates'], text: 'ahead of all with namespaces and isolation' },
  ],
  cases: sizes,
  candidates: storesAsCandidates(...IN_MEMORY, '@xstate/store'),
  async measure({ candidate, case: { keys, namespaces }, scale, seed }) {
    const space = makeSpace({ keys, namespaces }, seed);
    const store = await makeStore(candidate, { keys, namespaces, space });
    await fill(store, space, (i) => i);
    const reader = store.async ? readLater(store, space) : readAtOnce(store, space);
    const { done, ...cost } = await nanosecondsPerOperation(reader.run, paceOf(scale), BURST);
    checkSame(reader.sum(), expectedSum(space, done), `the sum of ${done} reads`);
    check(done > 0, 'nothing was read');
    await store.close?.();
    return cost;
  },
};

function readAtOnce(store, { count, namespaceOf, keyOf, order }) {
  let sum = 0;
  return {
    run(from, many) {
      for (let j = from; j < from + many; j += 1) {
        const i = order[j % count];
        sum += store.get(namespaceOf[i], keyOf[i]);
      }
    },
    sum: () => sum,
  };
}

function readLater(store, { count, namespaceOf, keyOf, order }) {
  let sum = 0;
  return {
    async run(from, many) {
      for (let j = from; j < from + many; j += 1) {
        const i = order[j % count];
        sum += await store.get(namespaceOf[i], keyOf[i]);
      }
    },
    sum: () => sum,
  };
}

/** Computed from the order alone. */
function expectedSum({ count, order }, done) {
  const whole = Math.floor(done / count);
  let sum = (whole * (count - 1) * count) / 2;
  for (let j = 0; j < done % count; j += 1) sum += order[j];
  return sum;
}
