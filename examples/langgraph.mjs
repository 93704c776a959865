// A graph whose threads and long-term memory are in one cache, so that both go back to the same position together.
import { Annotation, MessagesAnnotation, StateGraph } from '@langchain/langgraph';
import { AgentContextCache } from 'agent-context-cache';
import { ContextCacheSaver, ContextCacheStore } from 'agent-context-cache/langgraph';

const State = Annotation.Root({ ...MessagesAnnotation.spec, city: Annotation() });

/** Plans a trip from what the traveller likes, and remembers the last city for all threads. */
const builder = new StateGraph(State).addNode('plan', async ({ city }, { store }) => {
  const likes = (await store.get(['travellers', 'ann'], 'likes'))?.value.likes ?? 'nothing yet';
  await store.put(['travellers', 'ann'], 'last', { city });
  return { messages: [{ role: 'assistant', content: `${city}, for one who likes ${likes}` }] };
});
builder.addEdge('__start__', 'plan');

const graphOver = (cache) =>
  builder.compile({
    checkpointer: new ContextCacheSaver(cache.as({ agent: 'planner' })),
    store: new ContextCacheStore(cache),
  });
const thread = { configurable: { thread_id: 'trip' } };
const show = async (name, cache) => {
  const { messages = [] } = (await graphOver(cache).getState(thread)).values;
  const last = await new ContextCacheStore(cache).get(['travellers', 'ann'], 'last');
  console.log(`${name}: ${messages.length} messages, last city ${last?.value.city}`);
};

const cache = new AgentContextCache({ natsUrl: null });
await new ContextCacheStore(cache).put(['travellers', 'ann'], 'likes', { likes: 'the sea' });
await graphOver(cache).invoke({ city: 'Lisbon' }, thread);
const { position } = cache;
await graphOver(cache).invoke({ city: 'Porto' }, thread);
await show('now', cache);

// Tries another trip in a fork, which goes back to an earlier state of thread and store. This cache stays unchanged.
const branch = await cache.fork({ at: position });
await show('rewound', branch);
await graphOver(branch).invoke({ city: 'Faro' }, thread);
await show('what if', branch);
await show('still', cache);
await branch.shutdown();
await cache.shutdown();
