// A Keyv whose entries are in a cache: with expiry, and with a history that Keyv alone does not have.
import { AgentContextCache } from 'agent-context-cache';
import { KeyvContextCache } from 'agent-context-cache/keyv';
import Keyv from 'keyv';

const cache = new AgentContextCache({ natsUrl: null });
const keyvOf = (agent, namespace) => new Keyv({ store: new KeyvContextCache(cache.as({ agent })), namespace });

const prices = keyvOf('searcher', 'prices');
await prices.set('LIS', { euro: 780 }, 60_000);
await keyvOf('upseller', 'prices').set('LIS', { euro: 1020 });
await keyvOf('searcher', 'hotels').clear();

for await (const { agent, value } of cache.history('LIS', ['keyv', 'prices'])) console.log(agent, value.value);
for await (const [city, price] of prices.iterator()) console.log(city, price);
await cache.shutdown();
