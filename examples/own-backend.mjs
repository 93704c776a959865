// A custom backend: six methods. Here it is the primary, which every write waits for and which can refuse writes.
import { AgentContextCache, BaseContextCache } from 'agent-context-cache';

class SlowStore extends BaseContextCache {
  #spaces = new Map();

  async get(key, namespace) {
    return this.#spaces.get(namespace)?.get(key);
  }
  async set(key, value, namespace) {
    if (key.startsWith('secret')) throw new Error('no secrets here');
    if (!this.#spaces.has(namespace)) this.#spaces.set(namespace, new Map());
    this.#spaces.get(namespace).set(key, value);
  }
  async delete(key, namespace) {
    return this.#spaces.get(namespace)?.delete(key) ?? false;
  }
  async listKeys(namespace) {
    return [...(this.#spaces.get(namespace)?.keys() ?? [])];
  }
  async clearNamespace(namespace) {
    this.#spaces.get(namespace)?.clear();
  }
  async listNamespaces() {
    return [...this.#spaces.keys()];
  }
}

const cache = new AgentContextCache({ primaryCache: new SlowStore(), onError: () => {} });
await cache.set('plan', ['search'], 'trip');
console.log(await cache.get('plan', 'trip'));
await cache.set('secret', 'x', 'trip').catch((error) => console.log(`${error.code}: ${error.cause.message}`));
console.log(await cache.listKeys('trip'));
await cache.shutdown();
