// Measures a write whose caller awaits it before the next one. The limit is a nested Map and a resolved promise.
import { COST } from './lib/passes.mjs';
import { IN_MEMORY, storesAsCandidates } from './lib/stores.mjs';
import { VALUES } from './lib/values.mjs';
import { measureWrites } from './lib/writes.mjs';

export default {
  order: 3,
  title: '`set` of a number, awaited',
  about: 'one write after the other, each awaited, in nanoseconds',
  metrics: COST,
  goals: [
    { ofLimit: 2, text: 'within 2× of a resolved promise and a nested Map' },
    { ahead: 1, except: ['lru-cache'], text: 'ahead of every rival but a bare lru-cache' },
  ],
  cases: ({ quick }) =>
    quick
      ? [{ name: '1,000 keys in 10 namespaces', keys: 1_000, namespaces: 10 }]
      : [{ name: '10 thousand keys, 100 namespaces', headline: true, keys: 10_000, namespaces: 100 }],
  candidates: storesAsCandidates(...IN_MEMORY),
  async measure(context) {
    const { result, store } = await measureWrites(context, { make: VALUES.number, awaited: true });
    await store.close?.();
    return result;
  },
};
