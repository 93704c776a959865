// What a write of a number costs that nobody waits for: by the method and by a message to the supervisor.
import { COST } from './lib/passes.mjs';
import { storesAsCandidates } from './lib/stores.mjs';
import { VALUES } from './lib/values.mjs';
import { measureWrites } from './lib/writes.mjs';

export default {
  order: 2,
  title: '`set` of a number, nobody awaits',
  about:
    'a write over a key that is there, in bursts of 1,000 with a turn of the event loop after each, in nanoseconds',
  metrics: COST,
  goals: [
    { ofLimit: 5, text: 'within 5× of a nested Map' },
    { ahead: 30, of: ['XState, idiomatic'], text: '30× ahead of idiomatic XState' },
    { ahead: 1, except: ['lru-cache', 'XState, idiomatic'], text: 'ahead of every rival but a bare lru-cache' },
  ],
  cases: ({ quick }) =>
    quick
      ? [{ name: '1,000 keys in 10 namespaces', keys: 1_000, namespaces: 10 }]
      : [
          { name: '10 thousand keys, 1 namespace', headline: true, keys: 10_000, namespaces: 1 },
          { name: '1 million keys, 100 namespaces', headline: true, keys: 1_000_000, namespaces: 100 },
          { name: '1 million keys, 100 thousand namespaces', keys: 1_000_000, namespaces: 100_000 },
        ],
  candidates: storesAsCandidates(
    'nested Map',
    'agent-context-cache',
    'agent-context-cache, supervisor.send',
    'lru-cache',
    'keyv',
    'cacheable',
    'node-cache',
    'unstorage',
    'LangGraph InMemoryStore',
    '@xstate/store',
    'XState, idiomatic',
  ),
  async measure(context) {
    const { result, store } = await measureWrites(context, { make: VALUES.number });
    await store.close?.();
    return result;
  },
};
