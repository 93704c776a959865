import { AgentContextCache } from './ours.mjs';

/**
 * Stores of values by namespace and key in memory, each used as its manual shows. `namespaces`: it has them itself;
 * `isolates`: neither writer nor reader can change what is stored (the bench verifies that). A store has `set`, `get` and, if
 * these are asynchronous, `async: true`.
 */
export const STORES = {
  'nested Map': {
    role: 'limit',
    make() {
      const namespaces = new Map();
      return {
        set(namespace, key, value) {
          let entries = namespaces.get(namespace);
          if (entries === undefined) {
            entries = new Map();
            namespaces.set(namespace, entries);
          }
          entries.set(key, value);
        },
        get: (namespace, key) => namespaces.get(namespace)?.get(key),
      };
    },
  },
  'agent-context-cache': {
    role: 'ours',
    namespaces: true,
    isolates: true,
    make() {
      const cache = new AgentContextCache({ natsUrl: null });
      return {
        cache,
        set: (namespace, key, value) => cache.set(key, value, namespace),
        get: (namespace, key) => cache.get(key, namespace),
        close: () => cache.shutdown(),
      };
    },
  },
  'agent-context-cache, supervisor.send': {
    role: 'ours',
    namespaces: true,
    isolates: true,
    make() {
      const cache = new AgentContextCache({ natsUrl: null });
      return {
        set: (namespace, key, value) => cache.supervisor.send({ type: 'context.set', namespace, key, value }),
        get: (namespace, key) => cache.get(key, namespace),
        close: () => cache.shutdown(),
      };
    },
  },
  'lru-cache': {
    role: 'rival',
    async make({ keys, namespaces: count = 1 }) {
      const { LRUCache } = await import('lru-cache');
      const namespaces = new Map();
      return {
        set(namespace, key, value) {
          let entries = namespaces.get(namespace);
          if (entries === undefined) {
            entries = new LRUCache({ max: Math.ceil(keys / count) });
            namespaces.set(namespace, entries);
          }
          entries.set(key, value);
        },
        get: (namespace, key) => namespaces.get(namespace)?.get(key),
      };
    },
  },
  keyv: {
    role: 'rival',
    namespaces: true,
    isolates: true,
    async make() {
      const { Keyv } = await import('keyv');
      const store = new Map();
      const namespaces = new Map();
      const of = (namespace) => {
        let keyv = namespaces.get(namespace);
        if (keyv === undefined) {
          keyv = new Keyv({ store, namespace });
          namespaces.set(namespace, keyv);
        }
        return keyv;
      };
      return {
        async: true,
        set: (namespace, key, value) => of(namespace).set(key, value),
        get: (namespace, key) => of(namespace).get(key),
      };
    },
  },
  cacheable: {
    role: 'rival',
    async make() {
      const { Cacheable } = await import('cacheable');
      const cacheable = new Cacheable();
      return {
        async: true,
        set: (namespace, key, value) => cacheable.set(`${namespace}:${key}`, value),
        get: (namespace, key) => cacheable.get(`${namespace}:${key}`),
        close: () => cacheable.disconnect(),
      };
    },
  },
  'node-cache': {
    role: 'rival',
    isolates: true,
    async make() {
      const { default: NodeCache } = await import('node-cache');
      const cache = new NodeCache({ checkperiod: 0 });
      return {
        set: (namespace, key, value) => cache.set(`${namespace}:${key}`, value),
        get: (namespace, key) => cache.get(`${namespace}:${key}`),
        close: () => cache.close(),
      };
    },
  },
  unstorage: {
    role: 'rival',
    namespaces: true,
    isolates: true,
    async make() {
      const { createStorage } = await import('unstorage');
      const storage = createStorage();
      return {
        async: true,
        set: (namespace, key, value) => storage.setItem(`${namespace}:${key}`, value),
        get: (namespace, key) => storage.getItem(`${namespace}:${key}`),
        close: () => storage.dispose(),
      };
    },
  },
  'LangGraph InMemoryStore': {
    role: 'rival',
    namespaces: true,
    async make() {
      const { InMemoryStore } = await import('@langchain/langgraph-checkpoint');
      const store = new InMemoryStore();
      return {
        async: true,
        // It accepts objects only.
        set: (namespace, key, value) => store.put([namespace], key, { value }),
        get: async (namespace, key) => (await store.get([namespace], key))?.value.value,
      };
    },
  },
  '@xstate/store': {
    role: 'rival',
    namespaces: true,
    // Each write copies the namespace.
    maxKeys: 10_000,
    maxNamespaces: 1_000,
    async make({ space }) {
      const { createStore } = await import('@xstate/store');
      const context = {};
      for (const name of space?.names ?? []) context[name] = {};
      const store = createStore({
        context,
        on: {
          set: (before, { namespace, key, value }) => ({
            ...before,
            [namespace]: { ...before[namespace], [key]: value },
          }),
        },
      });
      return {
        // Before any other code has seen it.
        fill: (namespace, key, value) => {
          context[namespace][key] = value;
        },
        set: (namespace, key, value) => store.send({ type: 'set', namespace, key, value }),
        get: (namespace, key) => store.getSnapshot().context[namespace]?.[key],
      };
    },
  },
  'XState, idiomatic': {
    role: 'rival',
    namespaces: true,
    // XState copies the children of a machine with each spawn.
    maxNamespaces: 1_000,
    async make() {
      const { idiomaticStore } = await import('./idiomatic.mjs');
      return idiomaticStore();
    },
  },
  'structuredClone + Map': {
    role: 'rival',
    isolates: true,
    make() {
      const store = STORES['nested Map'].make();
      return {
        set: (namespace, key, value) => store.set(namespace, key, structuredClone(value)),
        get: (namespace, key) => structuredClone(store.get(namespace, key)),
      };
    },
  },
};

/** The candidates of every question about keys in memory. */
export const IN_MEMORY = [
  'nested Map',
  'agent-context-cache',
  'lru-cache',
  'keyv',
  'cacheable',
  'node-cache',
  'unstorage',
  'LangGraph InMemoryStore',
];

/** Sizes at which reading and writing are measured. */
export function sizes({ quick }) {
  if (quick) return [{ name: '1,000 keys in 10 namespaces', keys: 1_000, namespaces: 10 }];
  return [
    { name: '10 thousand keys, 1 namespace', headline: true, keys: 10_000, namespaces: 1 },
    { name: '1 million keys, 100 namespaces', headline: true, keys: 1_000_000, namespaces: 100 },
    { name: '1 million keys, 100 thousand namespaces', keys: 1_000_000, namespaces: 100_000 },
  ];
}

/** Returns candidates by name; one that is too slow for a case is left out of it. */
export function storesAsCandidates(...names) {
  return names.map((name) => {
    const { role, namespaces = false, isolates = false, maxKeys, maxNamespaces } = STORES[name];
    const suits = ({ keys, namespaces: count = 1 }) =>
      keys <= (maxKeys ?? Number.POSITIVE_INFINITY) && count <= (maxNamespaces ?? Number.POSITIVE_INFINITY);
    return { name, role, traits: { namespaces, isolates }, suits };
  });
}

export function makeStore(name, options) {
  return STORES[name].make(options);
}
