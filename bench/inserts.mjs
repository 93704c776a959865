// Measures how long the event loop is blocked while a namespace grows to a million keys, or ten million (--large).
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkSame, sample } from './lib/check.mjs';
import { PAUSES, watchLoop } from './lib/loop.mjs';
import { makeStore, storesAsCandidates } from './lib/stores.mjs';

/** Inserts per turn of the event loop. */
const TURN_MS = 1;
const LOOK_EVERY = 64;
const NAMESPACE = 'agent/1';

export default {
  order: 13,
  title: 'inserts into one namespace',
  about: `milliseconds of a turn of the event loop in which at most ${TURN_MS} ms is spent on inserting numbers`,
  metrics: {
    ...PAUSES,
    rate: { unit: '/s', better: 'more', what: '' },
  },
  goals: [
    { metric: 'p99', atMost: 10, text: 'p99 at most 10 ms' },
    { metric: 'longest', atMost: 50, text: 'longest at most 50 ms' },
  ],
  cases: ({ quick, large }) => {
    const million = { name: '1 million keys', headline: true, keys: 1_000_000 };
    const ten = { name: '10 million keys', headline: true, keys: 10_000_000, rounds: 2 };
    if (quick) return [{ name: '20 thousand keys', keys: 20_000 }];
    return large ? [million, ten] : [million];
  },
  candidates: storesAsCandidates('nested Map', 'agent-context-cache'),
  async measure({ candidate, case: { keys } }) {
    const names = Array.from({ length: keys }, (_, i) => `key-${i}`);
    const store = await makeStore(candidate, { keys });
    const began = performance.now();
    const loop = watchLoop();
    for (let i = 0; i < keys; loop.turn()) {
      const end = performance.now() + TURN_MS;
      do {
        for (const stop = Math.min(keys, i + LOOK_EVERY); i < stop; i += 1) store.set(NAMESPACE, names[i], i);
      } while (i < keys && performance.now() < end);
      await nextTurn();
    }
    const watched = loop.stop();
    const rate = (keys / (performance.now() - began)) * 1_000;
    for (const i of sample(keys, 1_000)) checkSame(store.get(NAMESPACE, names[i]), i, names[i]);
    await store.close?.();
    return { ...watched, rate };
  },
};
