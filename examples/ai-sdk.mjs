// A model whose answers are kept, and a stream that a client resumes after losing its connection. The model is the SDK's own mock.
import { AgentContextCache } from 'agent-context-cache';
import { contextCacheMiddleware, resumableStreams } from 'agent-context-cache/ai-sdk';
import { simulateReadableStream, streamText, wrapLanguageModel } from 'ai';
import { MockLanguageModelV3 } from 'ai/test';

const usage = { inputTokens: { total: 1 }, outputTokens: { total: 3 } };
const chunks = [
  { type: 'text-start', id: '0' },
  ...['Take ', 'the ', 'train.'].map((delta) => ({ type: 'text-delta', id: '0', delta })),
  { type: 'text-end', id: '0' },
  { type: 'finish', finishReason: { unified: 'stop' }, usage },
];
const provider = new MockLanguageModelV3({ doStream: async () => ({ stream: simulateReadableStream({ chunks }) }) });

const cache = new AgentContextCache({ natsUrl: null });
const model = wrapLanguageModel({ model: provider, middleware: contextCacheMiddleware(cache) });
const streams = resumableStreams(cache);

for (const id of ['first', 'second']) {
  const { textStream } = streamText({ model, prompt: 'How do I get to Oslo?' });
  const reader = (await streams.createNewResumableStream(id, () => textStream)).getReader();
  const { value: seen } = await reader.read();
  await reader.cancel();

  let rest = '';
  for await (const text of (await streams.resumeExistingStream(id, seen.length)) ?? []) rest += text;
  console.log(`${id}: ${seen}| ${rest} ${provider.doStreamCalls.length} call`);
}
await cache.shutdown();
