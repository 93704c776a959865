// A storage of unstorage over a cache: agents write to both, and the driver reports every change with the values.
import { AgentContextCache } from 'agent-context-cache';
import { contextCacheDriver } from 'agent-context-cache/unstorage';
import { createStorage } from 'unstorage';

const cache = new AgentContextCache({ natsUrl: null });
const driverOf = (agent) => contextCacheDriver(cache.as({ agent }), { namespace: 'trip' });
const storage = createStorage({ driver: driverOf('planner') });

const steps = (text) => (text === undefined ? text : JSON.parse(text).join(', '));
const ended = new Promise((resolve) => {
  driverOf('printer').watch((event, key, { value, previous }) => {
    if (event === 'remove') return resolve(console.log(`${key} is gone`));
    const { agent } = cache.entry(key, 'trip') ?? {};
    console.log(`${agent}'s ${key}: ${steps(previous)} -> ${steps(value)}`);
  });
});

const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
await storage.setItem('plan', ['search', 'book']);
await pause();
await cache.set('plan', ['book'], 'trip', { agent: 'booker' });
await pause();
await storage.removeItem('plan');
await ended;
await cache.shutdown();
