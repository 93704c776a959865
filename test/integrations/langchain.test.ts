import { InMemoryChatMessageHistory } from '@langchain/core/chat_history';
import { AIMessage, type BaseMessage, HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { RunnableWithMessageHistory } from '@langchain/core/runnables';
import { InMemoryStore } from '@langchain/core/stores';
import { FakeListChatModel } from '@langchain/core/utils/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ContextCacheError, compareNames } from '../../src/index.ts';
import { ContextCacheByteStore, ContextCacheChatHistory, ContextCacheLLMCache } from '../../src/langchain.ts';
import { BOTH_CACHES } from '../support/both-caches.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { fcOptions } from '../support/property.ts';

const HALF = '😀'.slice(0, 1);

describe.each(BOTH_CACHES)('ContextCacheLLMCache over a %s cache', (_, open) => {
  test('answers a real chat model that was asked before, also another one', async () => {
    await using reached = await open();
    const model = (first: string) =>
      new FakeListChatModel({
        responses: [`${first} 1`, `${first} 2`],
        cache: new ContextCacheLLMCache(reached.store),
      });
    const ask = async (from: FakeListChatModel, question: string) => (await from.invoke(question)).content;
    const one = model('one');
    expect(await ask(one, 'Where?')).toBe('one 1');
    expect(await ask(one, 'Where?')).toBe('one 1');
    expect(await ask(model('two'), 'Where?')).toBe('one 1');
    expect(await ask(one, 'When?')).toBe('one 2');
  });

  test('keeps messages with tool calls, half an emoji, and what a provider said of the answer', async () => {
    await using reached = await open();
    const cache = new ContextCacheLLMCache(reached.store);
    const message = new AIMessage({
      content: `a${HALF}`,
      tool_calls: [{ id: 'c', name: 'look', args: { at: 'Oslo' } }],
      additional_kwargs: { reasoning: 'short' },
      usage_metadata: { input_tokens: 1, output_tokens: 2, total_tokens: 3 } as never,
    });
    await cache.update('prompt', 'model', [{ text: 'a', message, generationInfo: { reason: 'stop' } } as never]);
    const [found] = (await cache.lookup('prompt', 'model')) as unknown as [
      { message: AIMessage; generationInfo: object },
    ];
    expect(found.message).toBeInstanceOf(AIMessage);
    expect(found.message.content).toBe(message.content);
    expect(found.message.tool_calls).toEqual(message.tool_calls);
    expect(found.message.usage_metadata).toEqual(message.usage_metadata);
    expect(found.message.additional_kwargs).toEqual(message.additional_kwargs);
    expect(found.generationInfo).toEqual({ reason: 'stop' });
    expect(await cache.lookup('prompt', 'another model')).toBeNull();
  });

  test('forgets answers after their time', async () => {
    const clock = new ManualClock();
    await using reached = await open({ clock });
    const cache = new ContextCacheLLMCache(reached.store, { ttl: '1m', namespace: ['answers'] });
    await cache.update('prompt', 'model', [{ text: 'a' }]);
    expect(await cache.lookup('prompt', 'model')).toEqual([{ text: 'a' }]);
    clock.advance(60_001);
    expect(await cache.lookup('prompt', 'model')).toBeNull();
    expect(() => new ContextCacheLLMCache(reached.store, { tll: 1 } as object)).toThrow('Did you mean ttl?');
  });
});

describe.each(BOTH_CACHES)('ContextCacheByteStore over a %s cache', (way, open) => {
  test('does what the store in memory does, with its keys in order', async () => {
    await using reached = await open();
    const key = fc.constantFrom('a', 'ab', 'b', '', 'ü', '😀');
    const pairs = fc.array(fc.tuple(key, fc.uint8Array()), { maxLength: 4 });
    const step = fc.oneof(
      pairs.map((given) => ({ mset: given })),
      fc.array(key, { maxLength: 4 }).map((given) => ({ mdelete: given })),
      fc.array(key, { maxLength: 4 }).map((given) => ({ mget: given })),
      fc.option(fc.constantFrom('a', '', 'x'), { nil: undefined }).map((given) => ({ prefix: given })),
    );
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
        run += 1;
        const store = new ContextCacheByteStore(reached.store, { namespace: ['bytes', String(run)] });
        const model = new InMemoryStore<Uint8Array>();
        for (const each of steps) {
          const [here, there] = await Promise.all(
            [store, model].map(async (one) => {
              if ('mset' in each) return one.mset(each.mset.map(([name, bytes]) => [name, bytes]));
              if ('mdelete' in each) return one.mdelete(each.mdelete);
              if ('mget' in each) return one.mget(each.mget);
              const names: string[] = [];
              for await (const name of one.yieldKeys(each.prefix)) names.push(name);
              return one === model ? names.sort(compareNames) : names;
            }),
          );
          expect(here).toEqual(there);
        }
      }),
      fcOptions(way === 'local' ? 300 : 50),
    );
  });

  test('stores bytes in an envelope, and nothing else', async () => {
    await using reached = await open();
    const store = new ContextCacheByteStore(reached.store);
    await store.mset([['k', Buffer.from('abc')]]);
    expect(await reached.store.get('k', ['langchain', 'bytes'])).toEqual({ $bytes: 'YWJj' });
    await expect(
      store.mset([
        ['a', new Uint8Array(1)],
        ['b', 'text' as never],
      ]),
    ).rejects.toThrow('Uint8Array');
    expect(await store.mget(['a'])).toEqual([undefined]);
  });
});

describe.each(BOTH_CACHES)('ContextCacheChatHistory over a %s cache', (_, open) => {
  test('gives back every kind of message', async () => {
    await using reached = await open();
    const history = new ContextCacheChatHistory(reached.store, { sessionId: 'ann' });
    const model = new InMemoryChatMessageHistory();
    const messages: BaseMessage[] = [
      new SystemMessage('be kind'),
      new HumanMessage({ content: [{ type: 'text', text: `half ${HALF}` }], name: 'Ann' }),
      new AIMessage({ content: '', tool_calls: [{ id: 'c', name: 'look', args: {} }] }),
      new ToolMessage({ content: 'Oslo', tool_call_id: 'c' }),
    ];
    for (const each of [history, model]) {
      await each.addMessages(messages);
      await each.addUserMessage('thanks');
      await each.addAIMessage('welcome');
    }
    const dicts = async (each: InMemoryChatMessageHistory | ContextCacheChatHistory) =>
      JSON.stringify((await each.getMessages()).map((message) => message.toDict()));
    expect(await dicts(history)).toBe(await dicts(model));
    await history.clear();
    expect(await history.getMessages()).toEqual([]);
  });

  test('serves chains that remember, several at once', async () => {
    await using reached = await open();
    const chain = new RunnableWithMessageHistory({
      runnable: new FakeListChatModel({ responses: ['yes'] }),
      getMessageHistory: (sessionId: string) => new ContextCacheChatHistory(reached.store, { sessionId }),
    });
    const invoke = (question: string) =>
      chain.invoke([new HumanMessage(question)], { configurable: { sessionId: 'ann' } });
    await Promise.all(Array.from({ length: 8 }, (__, index) => invoke(`question ${index}`)));
    const messages = await new ContextCacheChatHistory(reached.store, { sessionId: 'ann' }).getMessages();
    expect(messages).toHaveLength(16);
    expect(messages.filter((message, index) => message.type === (index % 2 === 0 ? 'human' : 'ai'))).toHaveLength(16);
  });

  test('refuses to be without a name or a cache', async () => {
    await using reached = await open();
    expect(() => new ContextCacheChatHistory(reached.store, {} as never)).toThrow('sessionId');
    expect(() => new ContextCacheChatHistory({} as never, { sessionId: 'a' })).toThrow(ContextCacheError);
  });
});
