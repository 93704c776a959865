// LangChain: answers of a model that are paid for once, a conversation, and bytes. The model is a fake: no key, no network.
import { RunnableWithMessageHistory } from '@langchain/core/runnables';
import { FakeListChatModel } from '@langchain/core/utils/testing';
import { AgentContextCache } from 'agent-context-cache';
import { ContextCacheByteStore, ContextCacheChatHistory, ContextCacheLLMCache } from 'agent-context-cache/langchain';

const cache = new AgentContextCache({ natsUrl: null });

const model = new FakeListChatModel({
  responses: ['Lisbon', 'Porto'],
  cache: new ContextCacheLLMCache(cache, { ttl: '1d' }),
});
for (const question of ['Where to?', 'Where to?', 'And then?']) console.log((await model.invoke(question)).content);

const chain = new RunnableWithMessageHistory({
  runnable: new FakeListChatModel({ responses: ['Hello Ann', 'Of course'] }),
  getMessageHistory: (sessionId) => new ContextCacheChatHistory(cache, { sessionId }),
});
const config = { configurable: { sessionId: 'ann' } };
await chain.invoke('I am Ann', config);
await chain.invoke('Do you know me?', config);
const messages = await new ContextCacheChatHistory(cache, { sessionId: 'ann' }).getMessages();
console.log(messages.map(({ content }) => content));

const bytes = new ContextCacheByteStore(cache);
await bytes.mset([['embedding', new Uint8Array([1, 2, 3])]]);
console.log(await bytes.mget(['embedding']));
await cache.shutdown();
