import { HumanMessage } from '@langchain/core/messages';
import { simulateReadableStream, type UIMessage } from 'ai';
import { MockLanguageModelV3 } from 'ai/test';
import { contextCacheChats, contextCacheMiddleware, resumableStreams } from '../../src/ai-sdk.ts';
import type { ContextStore } from '../../src/index.ts';
import { KeyvContextCache } from '../../src/keyv.ts';
import { ContextCacheByteStore, ContextCacheChatHistory, ContextCacheLLMCache } from '../../src/langchain.ts';
import { ContextCacheSaver, ContextCacheStore } from '../../src/langgraph.ts';
import { ContextCacheSession } from '../../src/openai-agents.ts';
import { contextCacheDriver } from '../../src/unstorage.ts';
import type { Tries } from '../support/access.ts';

/** How an agent without a right tries each method of each adapter; see `test/integrations/access.test.ts`. */

/** An adapter and the ways to try it. */
export interface Adapter<Target extends object> {
  readonly over: (cache: ContextStore) => Target;
  /** Writes what the agent must not see. */
  readonly fill: (target: Target) => Promise<unknown>;
  readonly tries: Tries<Target>;
  /** Methods that would show something hidden if they left nothing out. */
  readonly lists?: Tries<Target>;
}

/** A namespace of LangGraph's store that the agent may use. */
export const MINE = ['mine'];

function adapter<Target extends object>(given: Adapter<Target>): Adapter<object> {
  return given as unknown as Adapter<object>;
}

const denied = <Target>(...calls: readonly ((target: Target) => unknown)[]) =>
  calls.map((call) => ['denied', call] as const);

type Model = ConstructorParameters<typeof MockLanguageModelV3>[0] & object;
type Generated = Awaited<ReturnType<Extract<Model['doGenerate'], (...given: never[]) => unknown>>>;
export type Middleware = ReturnType<typeof contextCacheMiddleware>;

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 1, text: 1, reasoning: undefined },
};
const finishReason = { unified: 'stop', raw: undefined } as const;

/** Calls a model with the prompt `code` through the middleware. `text` is what the model itself answers. */
export function generated(middleware: Middleware, text: string): unknown {
  const result = { content: [{ type: 'text', text }], finishReason, usage, warnings: [] } as Generated;
  const model = new MockLanguageModelV3({ doGenerate: async () => result });
  const params = { prompt: [{ role: 'user', content: [{ type: 'text', text: 'code' }] }] } as never;
  return middleware.wrapGenerate?.({ model, params, doGenerate: () => model.doGenerate(params) } as never);
}

/** Streams from a model with the prompt `code` through the middleware. Resolves with all parts. */
export async function streamed(middleware: Middleware, text: string): Promise<unknown> {
  const chunks = [
    { type: 'text-delta', id: '0', delta: text },
    { type: 'finish', finishReason, usage },
  ] as const;
  const model = new MockLanguageModelV3({
    doStream: async () => ({ stream: simulateReadableStream({ chunks: [...chunks] }) }),
  });
  const params = { prompt: [{ role: 'user', content: [{ type: 'text', text: 'code' }] }] } as never;
  const call = { model, params, doStream: () => model.doStream(params) } as never;
  return readAll((await middleware.wrapStream?.(call))?.stream);
}

async function readAll(stream: ReadableStream | null | undefined): Promise<unknown[]> {
  const parts: unknown[] = [];
  for await (const part of stream ?? []) parts.push(part);
  return parts;
}

function streamOf(text: string): ReadableStream<string> {
  return simulateReadableStream({ chunks: [text] });
}

/** Calls the driver's `watch` as a storage does. A client is refused later, and then reports it as a warning of the process. */
async function watched(driver: ReturnType<typeof contextCacheDriver>): Promise<unknown> {
  const heard: unknown[] = [];
  let warn: (warning: Error) => void = () => {};
  const warned = new Promise<never>((_, reject) => {
    warn = reject;
  });
  process.once('warning', warn);
  try {
    const stop = driver.watch((...change) => void heard.push(change));
    await Promise.race([warned, new Promise((resolve) => setTimeout(resolve, 10_000))]);
    stop();
    return heard;
  } finally {
    process.off('warning', warn);
  }
}

const thread = { configurable: { thread_id: 'code' } };
const checkpoint = { v: 4, id: '1', ts: '', channel_values: {}, channel_versions: {}, versions_seen: {} };
const metadata = { source: 'loop', step: 0, parents: {} } as const;
const user = (content: string) => ({ type: 'message', role: 'user', content }) as const;
const call = (name: string) =>
  ({ type: 'function_call', callId: 'c', name, arguments: '{}', status: 'completed' }) as const;
const message = (text: string): UIMessage => ({ id: 'm', role: 'user', parts: [{ type: 'text', text }] });
/** Of the classes of LangChain that can be serialized. Shows nothing of a cache. */
const SERIALIZABLE: Tries<object> = {
  ...{ lc_id: [], lc_secrets: [], lc_attributes: [], lc_aliases: [], lc_serializable_keys: [] },
  ...{ toJSON: [['nothing', (target) => JSON.stringify(target)]], toJSONNotImplemented: [] },
};

export const ADAPTERS: Readonly<Record<string, Adapter<object>>> = {
  KeyvContextCache: adapter<KeyvContextCache>({
    over: (cache) => new KeyvContextCache(cache),
    fill: (keyv) => keyv.set('code', 'S3CRET'),
    tries: {
      get: denied((keyv) => keyv.get('code')),
      getMany: denied((keyv) => keyv.getMany(['code'])),
      has: denied((keyv) => keyv.has('code')),
      hasMany: denied((keyv) => keyv.hasMany(['code'])),
      set: denied((keyv) => keyv.set('code', 1)),
      setMany: denied((keyv) => keyv.setMany([{ key: 'code', value: 1 }])),
      delete: denied((keyv) => keyv.delete('code')),
      deleteMany: denied((keyv) => keyv.deleteMany(['code'])),
      clear: denied((keyv) => keyv.clear()),
      iterator: denied((keyv) => keyv.iterator()),
      namespace: [['nothing', (keyv) => keyv.namespace]],
      capabilities: [['nothing', (keyv) => keyv.capabilities]],
      on: [],
      disconnect: [],
    },
  }),

  contextCacheDriver: adapter<ReturnType<typeof contextCacheDriver>>({
    over: (cache) => contextCacheDriver(cache),
    fill: (driver) => driver.setItem('code', 'S3CRET'),
    tries: {
      getInstance: [],
      hasItem: denied((driver) => driver.hasItem('code')),
      getItem: denied((driver) => driver.getItem('code')),
      getItems: denied((driver) => driver.getItems([{ key: 'code' }])),
      getItemRaw: denied((driver) => driver.getItemRaw('code')),
      setItem: denied((driver) => driver.setItem('code', 'x')),
      setItems: denied((driver) => driver.setItems([{ key: 'code', value: 'x' }])),
      setItemRaw: denied((driver) => driver.setItemRaw('code', 1)),
      removeItem: denied((driver) => driver.removeItem('code')),
      getMeta: denied((driver) => driver.getMeta('code')),
      getKeys: denied((driver) => driver.getKeys()),
      clear: denied(
        (driver) => driver.clear(),
        (driver) => driver.clear('co'),
      ),
      watch: denied(watched),
      dispose: [],
    },
  }),

  ContextCacheSaver: adapter<ContextCacheSaver>({
    over: (cache) => new ContextCacheSaver(cache),
    fill: (saver) => saver.put(thread, { ...checkpoint, channel_values: { a: 'S3CRET' } }, metadata, {}),
    tries: {
      getTuple: denied(
        (saver) => saver.getTuple(thread),
        (saver) => saver.getTuple({ configurable: { thread_id: 'code', checkpoint_id: '1' } }),
      ),
      get: denied((saver) => saver.get(thread)),
      list: denied((saver) => saver.list(thread)),
      put: denied((saver) => saver.put(thread, checkpoint, metadata, {})),
      putWrites: denied((saver) =>
        saver.putWrites({ configurable: { thread_id: 'code', checkpoint_id: '1' } }, [['a', 1]], 'task'),
      ),
      deleteThread: denied((saver) => saver.deleteThread('code')),
      getDeltaChannelHistory: denied((saver) => saver.getDeltaChannelHistory({ config: thread, channels: ['a'] })),
      getNextVersion: [],
      toJSON: [['nothing', (saver) => JSON.stringify(saver)]],
    },
    lists: { list: [['nothing', (saver) => saver.list({})]] },
  }),

  ContextCacheStore: adapter<ContextCacheStore>({
    // Reading refreshes items, which writes.
    over: (cache) => new ContextCacheStore(cache, { ttl: { defaultTtl: 60 } }),
    fill: async (store) => {
      await store.put(['theirs'], 'code', { text: 'S3CRET' });
      await store.put(['theirs', 'UNNAMED'], 'code', { text: 'S3CRET' });
      await store.put(MINE, 'own', { text: 'mine' });
    },
    tries: {
      get: denied((store) => store.get(['theirs'], 'code')),
      put: denied((store) => store.put(['theirs'], 'code', { text: 'x' })),
      delete: denied((store) => store.delete(['theirs'], 'code')),
      batch: denied(
        (store) => store.batch([{ namespace: ['theirs'], key: 'code' }]),
        (store) => store.batch([{ namespace: ['theirs'], key: 'code', value: null }]),
        // Nothing is done of those that mix what it may use with what it may not.
        (store) =>
          store.batch([
            { namespace: MINE, key: 'own' },
            { namespace: ['theirs'], key: 'code' },
          ]),
        (store) =>
          store.batch([
            { namespace: MINE, key: 'own' },
            { namespace: ['theirs'], key: 'code', value: {} },
          ]),
        (store) =>
          store.batch([
            { namespace: MINE, key: 'own', value: {} },
            { namespace: ['theirs'], key: 'code', value: {} },
          ]),
      ),
      search: [],
      listNamespaces: [],
      start: [],
      stop: [],
    },
    lists: {
      search: [
        ['nothing', (store) => store.search(['theirs'])],
        ['nothing', (store) => store.search(['theirs'], { filter: { text: { $ne: 'x' } } })],
      ],
      listNamespaces: [['nothing', (store) => store.listNamespaces({})]],
    },
  }),

  ContextCacheSession: adapter<ContextCacheSession>({
    over: (cache) => new ContextCacheSession(cache, { sessionId: 'code' }),
    fill: (session) => session.addItems([user('S3CRET'), call('UNNAMED')]),
    tries: {
      getSessionId: [['nothing', (session) => session.getSessionId()]],
      getItems: denied(
        (session) => session.getItems(),
        (session) => session.getItems(1),
      ),
      addItems: denied((session) => session.addItems([user('x')])),
      popItem: denied((session) => session.popItem()),
      clearSession: denied((session) => session.clearSession()),
      applyHistoryMutations: denied((session) =>
        session.applyHistoryMutations({
          mutations: [{ type: 'replace_function_call', callId: 'c', replacement: call('x') }],
        }),
      ),
      rewindToTurn: denied((session) => session.rewindToTurn(0)),
    },
  }),

  ContextCacheLLMCache: adapter<ContextCacheLLMCache>({
    over: (cache) => new ContextCacheLLMCache(cache),
    fill: (llm) => llm.update('code', 'model', [{ text: 'S3CRET' }]),
    tries: {
      lookup: denied((llm) => llm.lookup('code', 'model')),
      update: denied((llm) => llm.update('code', 'model', [{ text: 'x' }])),
      keyEncoder: [],
      makeDefaultKeyEncoder: [],
    },
  }),

  ContextCacheByteStore: adapter<ContextCacheByteStore>({
    over: (cache) => new ContextCacheByteStore(cache),
    fill: (store) => store.mset([['UNNAMED', new Uint8Array([1])]]),
    tries: {
      ...SERIALIZABLE,
      mget: denied((store) => store.mget(['code'])),
      mset: denied((store) => store.mset([['code', new Uint8Array([2])]])),
      mdelete: denied((store) => store.mdelete(['code'])),
      yieldKeys: denied(
        (store) => store.yieldKeys(),
        (store) => store.yieldKeys('UN'),
      ),
    },
  }),

  ContextCacheChatHistory: adapter<ContextCacheChatHistory>({
    over: (cache) => new ContextCacheChatHistory(cache, { sessionId: 'code' }),
    fill: (history) => history.addMessage(new HumanMessage('S3CRET')),
    tries: {
      ...SERIALIZABLE,
      getMessages: denied((history) => history.getMessages()),
      addMessage: denied((history) => history.addMessage(new HumanMessage('x'))),
      addMessages: denied((history) => history.addMessages([new HumanMessage('x')])),
      addUserMessage: denied((history) => history.addUserMessage('x')),
      addAIMessage: denied((history) => history.addAIMessage('x')),
      clear: denied((history) => history.clear()),
    },
  }),

  contextCacheChats: adapter<ReturnType<typeof contextCacheChats>>({
    over: (cache) => contextCacheChats(cache),
    fill: async (chats) => {
      await chats.save('code', [message('S3CRET')]);
      await chats.save('UNNAMED', [message('S3CRET')]);
    },
    tries: {
      load: denied((chats) => chats.load('code')),
      save: denied(
        (chats) => chats.save('code', [message('x')]),
        (chats) => chats.save('code', []),
      ),
      activeStream: denied((chats) => chats.activeStream('code')),
      setActiveStream: denied((chats) => chats.setActiveStream('code', 'x')),
      delete: denied((chats) => chats.delete('code')),
      list: [],
    },
    lists: { list: [['nothing', (chats) => chats.list()]] },
  }),

  contextCacheMiddleware: adapter<Middleware>({
    over: (cache) => contextCacheMiddleware(cache),
    fill: async (middleware) => {
      await generated(middleware, 'S3CRET');
      await streamed(middleware, 'S3CRET');
    },
    tries: {
      wrapGenerate: denied((middleware) => generated(middleware, 'x')),
      wrapStream: denied((middleware) => streamed(middleware, 'x')),
    },
  }),

  resumableStreams: adapter<ReturnType<typeof resumableStreams>>({
    over: (cache) => resumableStreams(cache),
    fill: async (streams) => readAll(await streams.createNewResumableStream('code', () => streamOf('S3CRET'))),
    tries: {
      createNewResumableStream: denied((streams) => streams.createNewResumableStream('code', () => streamOf('x'))),
      resumeExistingStream: denied((streams) => streams.resumeExistingStream('code')),
      resumableStream: denied((streams) => streams.resumableStream('code', () => streamOf('x'))),
      hasExistingStream: denied((streams) => streams.hasExistingStream('code')),
    },
  }),
};
