// Measures what watchers cost a write: those that match and those that do not. The limit is an EventEmitter that emits each
// write under its namespace.
import { EventEmitter } from 'node:events';
import { checkSame } from './lib/check.mjs';
import { COST, nanosecondsPerOperation, paceOf } from './lib/passes.mjs';
import { makeSpace } from './lib/space.mjs';
import { makeStore } from './lib/stores.mjs';

const BURST = 1_000;
const ONE = '1 watcher, of all namespaces in use';
const UNWATCHED = (namespaces) => `${namespaces.toLocaleString('en')} namespaces, none watched`;

export default {
  order: 17,
  title: '`watch`',
  about: 'a write of a number and the telling of its watchers, in nanoseconds',
  metrics: COST,
  cases: ({ quick }) => {
    const many = quick ? 200 : 10_000;
    const namespaces = quick ? 100 : 1_000;
    const flat = { flat: 1.5, from: ONE, text: 'grows with the watchers that match, not with all' };
    return [
      { name: ONE, namespaces: 1, watchersEach: 1, elsewhere: 0 },
      { name: '100 watchers, one matches', namespaces: 1, watchersEach: 1, elsewhere: 99, goals: [flat] },
      {
        name: `${many.toLocaleString('en')} watchers, one matches`,
        headline: true,
        namespaces: 1,
        watchersEach: 1,
        elsewhere: many - 1,
        goals: [flat],
      },
      {
        name: `${many.toLocaleString('en')} watchers of other keys`,
        namespaces: 1,
        watchersEach: 1,
        elsewhere: 0,
        keys: many,
        goals: [flat],
      },
      { name: '100 watchers, all match', namespaces: 1, watchersEach: 100, elsewhere: 0 },
      { name: `${many.toLocaleString('en')} watchers, all match`, namespaces: 1, watchersEach: many, elsewhere: 0 },
      { name: UNWATCHED(namespaces), namespaces, watchersEach: 0, elsewhere: 0 },
      {
        name: `${namespaces.toLocaleString('en')} namespaces, one watcher each`,
        headline: true,
        namespaces,
        watchersEach: 1,
        elsewhere: 0,
        // Writing to many namespaces costs more, watched or not.
        goals: [{ ...flat, from: UNWATCHED(namespaces) }],
      },
    ];
  },
  candidates: [
    { name: 'nested Map and EventEmitter', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
  ],
  async measure({ candidate, case: { namespaces, watchersEach, elsewhere, keys = 0 }, scale, seed }) {
    const space = makeSpace({ keys: Math.max(1_000, namespaces), namespaces }, seed);
    const told = { count: 0, sum: 0 };
    const { store, watch, unwatched } = await WATCHED[candidate](told);
    for (const name of space.names) for (let i = 0; i < watchersEach; i += 1) watch(name);
    for (let i = 0; i < elsewhere; i += 1) watch(`elsewhere/${i}`);
    for (let i = 0; i < keys; i += 1) watch(undefined, [`another key ${i}`]);
    let sum = 0;
    const burst = Math.max(16, Math.floor(BURST / Math.max(1, watchersEach / 100)));
    const run = (from, many) => {
      for (let j = from; j < from + many; j += 1) {
        const i = space.order[j % space.count];
        store.set(space.namespaceOf[i], space.keyOf[i], j);
        sum += j;
      }
    };
    const { done, ...cost } = await nanosecondsPerOperation(run, paceOf(scale), burst);
    await unwatched?.();
    checkSame(told, { count: done * watchersEach, sum: sum * watchersEach }, 'what the watchers were told');
    await store.close?.();
    return cost;
  },
};

const WATCHED = {
  'nested Map and EventEmitter': (told) => {
    const map = makeStore('nested Map', {});
    const emitter = new EventEmitter().setMaxListeners(0);
    const store = {
      set(namespace, key, value) {
        map.set(namespace, key, value);
        emitter.emit(namespace, { namespace, key, value });
      },
    };
    return { store, watch: (namespace, keys) => emitter.on(namespace ?? keys[0], (update) => tell(told, update)) };
  },

  'agent-context-cache': async (told) => {
    const store = await makeStore('agent-context-cache', {});
    return {
      store,
      watch: (namespace, keys) => store.cache.subscribe((update) => tell(told, update), { namespace, keys }),
      unwatched: () => store.cache.flush(),
    };
  },
};

function tell(told, { value }) {
  told.count += 1;
  told.sum += value;
}
