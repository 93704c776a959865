import { AISDKError, generateText, simulateReadableStream, streamText, type UIMessage, wrapLanguageModel } from 'ai';
import { MockLanguageModelV3 } from 'ai/test';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { contextCacheChats, contextCacheMiddleware, resumableStreams } from '../../src/ai-sdk.ts';
import { AgentContextCache, type ContextStore } from '../../src/index.ts';
import { BOTH_CACHES, type Reached } from '../support/both-caches.ts';
import { fcOptions } from '../support/property.ts';
import { tempDir } from '../support/temp-dir.ts';

type Model = ConstructorParameters<typeof MockLanguageModelV3>[0] & object;
type Generate = Exclude<Extract<Model['doGenerate'], (...given: never[]) => unknown>, undefined>;
type Result = Awaited<ReturnType<Generate>>;
type Stream = Exclude<Extract<Model['doStream'], (...given: never[]) => unknown>, undefined>;
type Part = Awaited<ReturnType<Stream>>['stream'] extends ReadableStream<infer Each> ? Each : never;

const usage = {
  inputTokens: { total: 3, noCache: 3, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 5, text: 5, reasoning: undefined },
};
const finishReason = { unified: 'stop', raw: undefined } as const;
const answer = (text: string): Result => ({
  content: [
    { type: 'text', text },
    { type: 'file', mediaType: 'image/png', data: new Uint8Array([1, 2]) },
  ],
  ...{ finishReason, usage, warnings: [] },
  response: { id: 'r-1', modelId: 'mock', timestamp: new Date(1_000), headers: { secret: 'x' } },
});
const partsOf = (...texts: string[]): Part[] => [
  { type: 'stream-start', warnings: [] },
  { type: 'response-metadata', id: 'r-1', timestamp: new Date(1_000) },
  { type: 'text-start', id: '0' },
  ...texts.map((delta) => ({ type: 'text-delta', id: '0', delta }) as const),
  { type: 'text-end', id: '0' },
  { type: 'finish', finishReason, usage },
];
const textOf = async (stream: ReadableStream<string> | null | undefined) => {
  let text = '';
  for await (const each of stream ?? []) text += each;
  return text;
};
const ended = async (promise: Promise<unknown>) => (await Promise.allSettled([promise]))[0]?.status;

describe.each(BOTH_CACHES)('over a %s cache', (_, open) => {
  let reached: Reached;
  beforeEach(async () => {
    reached = await open();
  });
  afterEach(() => reached[Symbol.asyncDispose]());

  describe('contextCacheMiddleware', () => {
    const wrapped = (model: MockLanguageModelV3, options = {}) =>
      wrapLanguageModel({ model, middleware: contextCacheMiddleware(reached.store, options) });

    test('answers a repeated call from the cache, with everything that the model gave', async () => {
      const mock = new MockLanguageModelV3({ doGenerate: async () => answer('half \ud83d') });
      const [first, second] = [
        await generateText({ model: wrapped(mock), prompt: 'p' }),
        await generateText({ model: wrapped(mock), prompt: 'p' }),
      ];
      expect(mock.doGenerateCalls).toHaveLength(1);
      expect([second.text, second.usage, second.finishReason]).toEqual([first.text, first.usage, first.finishReason]);
      expect(second.files[0]?.uint8Array).toEqual(new Uint8Array([1, 2]));
      expect(second.response.timestamp).toEqual(new Date(1_000));
      const [stored] = await reached.store.entries(['ai-sdk', 'calls']);
      expect(stored?.value).toMatchObject({ model: 'mock-provider/mock-model-id' });
      expect(JSON.stringify(stored?.value)).not.toContain('secret');
    });

    test('asks the model for each other prompt, tool, setting and model, and not for other headers', async () => {
      let calls = 0;
      const mock = new MockLanguageModelV3({ doGenerate: async () => answer(String(++calls)) });
      const model = wrapped(mock);
      const texts: string[] = [];
      for (const call of [
        { prompt: 'p' },
        { prompt: 'q' },
        { prompt: 'p', temperature: 1 },
        { prompt: 'p', providerOptions: { mock: { a: 1, b: 2 } } },
        { prompt: 'p', providerOptions: { mock: { b: 2, a: 1 } } },
        { prompt: 'p', headers: { authorization: 'other' } },
      ])
        texts.push((await generateText({ model, ...call })).text);
      const other = wrapLanguageModel({
        model: new MockLanguageModelV3({ modelId: 'other', doGenerate: async () => answer('other') }),
        middleware: contextCacheMiddleware(reached.store),
      });
      texts.push((await generateText({ model: other, prompt: 'p' })).text);
      expect(texts).toEqual(['1', '2', '3', '4', '4', '1', 'other']);
    });

    test('streams the same parts again, and asks the model once', async () => {
      const mock = new MockLanguageModelV3({
        doStream: async () => ({
          stream: simulateReadableStream({ chunks: partsOf('a', 'b', 'c'), chunkDelayInMs: 1 }),
        }),
      });
      const model = wrapped(mock);
      const together = await Promise.all([1, 2].map(() => streamText({ model, prompt: 'p' }).text));
      const later = streamText({ model: wrapped(mock), prompt: 'p' });
      const deltas: string[] = [];
      for await (const delta of later.textStream) deltas.push(delta);
      expect([together, deltas, mock.doStreamCalls.length]).toEqual([['abc', 'abc'], ['a', 'b', 'c'], 1]);
      expect((await later.response).timestamp).toEqual(new Date(1_000));
    });

    test('shares one call of the model among equal calls at one time', async () => {
      const mock = new MockLanguageModelV3({
        async doGenerate() {
          await new Promise((resolve) => setTimeout(resolve, 20));
          return answer('one');
        },
      });
      const model = wrapped(mock);
      const results = await Promise.all([1, 2, 3].map(() => generateText({ model, prompt: 'p' })));
      expect([results.map(({ text }) => text), mock.doGenerateCalls.length]).toEqual([['one', 'one', 'one'], 1]);
    });

    test('returns an answer that cannot be kept, and reports why', async () => {
      const errors: unknown[] = [];
      await using small = await open({ limits: { maxBytes: 200 }, onError: (error) => errors.push(error) });
      const text = 'x'.repeat(1_000);
      const mock = new MockLanguageModelV3({
        doGenerate: async () => answer(text),
        doStream: async () => ({ stream: simulateReadableStream({ chunks: partsOf(text) }) }),
      });
      const model = wrapLanguageModel({ model: mock, middleware: contextCacheMiddleware(small.store) });
      for (let call = 1; call <= 2; call += 1) {
        expect((await generateText({ model, prompt: 'p' })).text).toBe(text);
        expect(await streamText({ model, prompt: 'p' }).text).toBe(text);
      }
      expect([mock.doGenerateCalls.length, mock.doStreamCalls.length]).toEqual([2, 2]);
      expect(await small.store.entries(['ai-sdk', 'calls'])).toEqual([]);
      // A client reports to its own `onError`.
      if (small.store === small.cache)
        await expect
          .poll(() => errors)
          .toEqual(Array.from({ length: 4 }, () => expect.objectContaining({ code: 'INVALID_VALUE' })));
    });

    test('keeps no failure, and no stream that was cut or has an error in it', async () => {
      let calls = 0;
      const mock = new MockLanguageModelV3({
        async doGenerate() {
          calls += 1;
          if (calls === 1) throw new Error('no');
          return answer('yes');
        },
        async doStream() {
          calls += 1;
          const chunks = partsOf('a');
          if (calls === 3) chunks.pop();
          if (calls === 4) chunks.splice(3, 0, { type: 'error', error: new Error('no') });
          return { stream: simulateReadableStream({ chunks, initialDelayInMs: null, chunkDelayInMs: null }) };
        },
      });
      const model = wrapped(mock);
      const generate = () => generateText({ model, prompt: 'p', maxRetries: 0 });
      expect([await ended(generate()), (await generate()).text]).toEqual(['rejected', 'yes']);
      for (let n = 0; n < 4; n += 1) {
        await streamText({ model, prompt: 'p', onError: () => {} }).consumeStream();
      }
      expect(calls).toBe(5);
    });

    test('aborts the model when all callers have aborted, and not before', async () => {
      const aborted: unknown[] = [];
      const mock = new MockLanguageModelV3({
        doGenerate: ({ abortSignal }) =>
          new Promise((resolve, reject) => {
            const timer = setTimeout(() => resolve(answer('late')), 300);
            abortSignal?.addEventListener('abort', () => {
              clearTimeout(timer);
              aborted.push(abortSignal.reason);
              reject(abortSignal.reason);
            });
          }),
      });
      const model = wrapped(mock);
      const call = (abortSignal?: AbortSignal) =>
        generateText({ model, prompt: 'p', maxRetries: 0, ...(abortSignal && { abortSignal }) });
      const [one, two] = [new AbortController(), new AbortController()];
      const [first, second] = [call(one.signal), call(two.signal)].map(ended);
      setTimeout(() => one.abort(), 10);
      const third = call();
      expect([await first, (await third).text, await second, aborted]).toEqual(['rejected', 'late', 'fulfilled', []]);
      await reached.store.clearNamespace(['ai-sdk', 'calls']);
      const alone = ended(call(two.signal));
      await expect.poll(() => mock.doGenerateCalls.length, { interval: 1 }).toBe(2);
      two.abort();
      expect([await alone, aborted.length]).toEqual(['rejected', 1]);
    });

    test('keeps answers for a time, and only of the calls that are to be cached', async () => {
      const mock = new MockLanguageModelV3({ doGenerate: async () => answer('a') });
      await generateText({ model: wrapped(mock, { isCached: () => false }), prompt: 'p' });
      expect(await reached.store.listKeys(['ai-sdk', 'calls'])).toEqual([]);
      await generateText({ model: wrapped(mock, { ttl: 30, namespace: 'answers' }), prompt: 'p' });
      await expect.poll(() => reached.store.listKeys('answers')).toEqual([]);
    });

    test("rejects with the SDK's error, and that of the cache as its cause", async () => {
      const failing = { ...bound(reached.store), get: () => Promise.reject(new Error('gone')) } as ContextStore;
      const model = wrapLanguageModel({
        model: new MockLanguageModelV3({ doGenerate: answer('a') }),
        middleware: contextCacheMiddleware(failing),
      });
      const error = await generateText({ model, prompt: 'p', maxRetries: 0 }).catch((thrown: unknown) => thrown);
      expect([AISDKError.isInstance(error), (error as Error).cause]).toMatchObject([true, { message: 'gone' }]);
    });
  });

  describe('resumableStreams', () => {
    test('reads on from every position without repetition and without a gap', async () => {
      const text = fc.array(fc.string({ unit: 'binary', maxLength: 4 }), { maxLength: 8 });
      let n = 0;
      await fc.assert(
        fc.asyncProperty(text, fc.nat(40), fc.nat(8), async (chunks, skip, wait) => {
          const streams = resumableStreams(reached.store);
          const id = `s/${++n}`;
          const whole = chunks.join('');
          const made = await streams.createNewResumableStream(id, () =>
            simulateReadableStream({ chunks, initialDelayInMs: null, chunkDelayInMs: 1 }),
          );
          await new Promise((resolve) => setTimeout(resolve, wait));
          const [resumed, created] = await Promise.all([
            streams.resumeExistingStream(id, skip).then(textOf),
            textOf(made),
          ]);
          expect([created, resumed]).toEqual([whole, whole.slice(skip)]);
          expect(await streams.hasExistingStream(id)).toBe('DONE');
          expect(await streams.resumeExistingStream(id, whole.length)).toBeNull();
          expect(await textOf(await streams.resumeExistingStream(id))).toBe(whole);
        }),
        fcOptions(40),
      );
    });

    test('knows which streams there are, and creates one that is missing', async () => {
      const streams = resumableStreams(reached.store);
      expect([await streams.resumeExistingStream('a'), await streams.hasExistingStream('a')]).toEqual([
        undefined,
        null,
      ]);
      let end = () => {};
      const make = () =>
        new ReadableStream<string>({
          start(controller) {
            controller.enqueue('one ');
            end = () => {
              controller.enqueue('two');
              controller.close();
            };
          },
        });
      const first = await streams.resumableStream('a', make);
      const second = streams.resumableStream('a', make, 2).then(textOf);
      expect(await streams.hasExistingStream('a')).toBe(true);
      await expect(streams.createNewResumableStream('a', make)).rejects.toMatchObject({
        cause: { code: 'VERSION_CONFLICT' },
      });
      end();
      expect([await textOf(first), await second]).toEqual(['one two', 'e two']);
    });

    test('goes on although the reader is gone, and passes on a failure', async () => {
      const streams = resumableStreams(reached.store);
      const made = await streams.createNewResumableStream('gone', () =>
        simulateReadableStream({ chunks: ['a', 'b'], chunkDelayInMs: 5 }),
      );
      await made.cancel();
      expect(await textOf(await streams.resumeExistingStream('gone'))).toBe('ab');
      const failing = new ReadableStream<string>({
        start(controller) {
          controller.enqueue('a');
          setTimeout(() => controller.error(new Error('too many tokens')), 10);
        },
      });
      const failed = await streams.createNewResumableStream('failed', () => failing);
      await expect(textOf(failed)).rejects.toThrow('The stream has failed: too many tokens');
    });

    test('gives all that arrived before a failure', async () => {
      const texts = ['one ', 'two ', 'three'];
      let pulled = 0;
      const failing = new ReadableStream<string>({
        pull(controller) {
          const text = texts[pulled];
          pulled += 1;
          if (text === undefined) controller.error(new Error('too many tokens'));
          else controller.enqueue(text);
        },
      });
      const reader = (await resumableStreams(reached.store).createNewResumableStream('f', () => failing)).getReader();
      let text = '';
      const readAll = async () => {
        for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
      };
      await expect(readAll()).rejects.toThrow('too many tokens');
      expect(text).toBe('one two three');
    });

    test('ends a stream whose process gives no sign of life, after what it has written', async () => {
      await reached.store.set('state', { status: 'streaming' }, ['ai-sdk', 'streams', 'x'], { ttl: 60 });
      await reached.store.append({ at: 0, text: 'half' }, ['ai-sdk', 'streams', 'x'], { prefix: 'chunk:' });
      const reader = (await resumableStreams(reached.store).resumeExistingStream('x'))?.getReader();
      expect((await reader?.read())?.value).toBe('half');
      await expect(reader?.read()).rejects.toThrow('has ended before the stream');
    });
  });

  describe('contextCacheChats', () => {
    const message = (id: string, text: string): UIMessage => ({ id, role: 'user', parts: [{ type: 'text', text }] });

    test('keeps the messages of a chat in order, and writes only what has changed', async () => {
      const chats = contextCacheChats(reached.store);
      const messages = Array.from({ length: 12 }, (_each, n) => message(`m${n}`, n === 3 ? '\ud83d' : `text ${n}`));
      expect(await chats.load('a/b')).toEqual([]);
      await chats.save('a/b', messages);
      expect(await chats.load('a/b')).toEqual(messages);
      const before = reached.cache.position;
      messages.push(message('m12', 'new'));
      await chats.save('a/b', messages);
      expect(reached.cache.position).toBe(before + 1);
      await chats.save('a/b', messages.slice(0, 2));
      expect(await chats.load('a/b')).toEqual(messages.slice(0, 2));
      await chats.save('a/b', []);
      await chats.save('c', []);
      expect([await chats.load('a/b'), await chats.list()]).toEqual([[], ['a/b']]);
      await chats.delete('a/b');
      expect(await chats.list()).toEqual([]);
    });

    test('knows the active stream, and clears only the one that is meant', async () => {
      const chats = contextCacheChats(reached.store);
      expect(await chats.activeStream('a')).toBeNull();
      expect(await chats.setActiveStream('a', 's1')).toBe(true);
      expect(await chats.setActiveStream('a', null, 'another')).toBe(false);
      expect(await chats.activeStream('a')).toBe('s1');
      expect(await chats.setActiveStream('a', null, 's1')).toBe(true);
      expect([await chats.activeStream('a'), await chats.load('a')]).toEqual([null, []]);
    });
  });
});

test('a stream survives a restart', async () => {
  const dataDir = await tempDir('streams');
  const open = () => AgentContextCache.open({ dataDir, natsUrl: null });
  {
    await using cache = await open();
    const streams = resumableStreams(cache);
    await textOf(
      await streams.createNewResumableStream('s', () => simulateReadableStream({ chunks: ['one ', 'two'] })),
    );
    await cache.flush();
  }
  await using cache = await open();
  expect(await textOf(await resumableStreams(cache).resumeExistingStream('s', 2))).toBe('e two');
});

test.each([
  [contextCacheMiddleware, { ttls: 1 }, 'Did you mean ttl?'],
  [contextCacheMiddleware, { isCached: true }, 'isCached must be a function'],
  [resumableStreams, { abandonedAfterMs: 1 }, 'from 100 up'],
  [contextCacheChats, { name: 'x' }, 'has no option name'],
])('%o refuses the options %j', async (make, options, message) => {
  await using reached = await BOTH_CACHES[0][1]();
  expect(() => make(reached.store, options as object)).toThrow(message);
  expect(() => make({} as ContextStore)).toThrow('takes a cache');
});

/** Returns the methods of a cache as properties. */
function bound(store: ContextStore): ContextStore {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    ownKeys: () => ['clearNamespace', 'set'],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
  });
}
