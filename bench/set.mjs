// Measures writing a number without awaiting it: by the method and by a message to the supervisor.
import { COST } from './lib/passes.mjs';
import { IN_MEMORY, sizes, storesAsCandidates } from './lib/stores.mjs';
import { VALUES } from './lib/values.mjs';
import { measureWrites } from './lib/writes.mjs';

export default {
  order: 2,
  title: '`set` of a number, not awaited',
  about:
    'a write over a key that is there, in bursts of 1,000 with a turn of the event loop after each, in nanoseconds',
  metrics: COST,
  goals: [
    { ofLimit: 5, text: 'within 5× of a nested Map' },
    { ahead: 30, of: ['XState, idiomatic'], text: '30× ahead of idiomatic XState' },
    { ahead: 1, except: ['lru-cache', 'XState, idiomatic'], text: 'ahead of every rival but a bare lru-cache' },
  ],
  cases: sizes,
  candidates: storesAsCandidates(
    ...IN_MEMORY,
    'agent-context-cache, supervisor.send',
    '@xstate/store',
    'XState, idiomatic',
  ),
  async measure(context) {
    const { result, store } = await measureWrites(context, { make: VALUES.number });
    await store.close?.();
    return result;
  },
};
