// A conversation that several processes continue, and that goes back to an earlier turn. The model is a fake: no key, no network.
import { Agent, Runner, Usage } from '@openai/agents-core';
import { AgentContextCache } from 'agent-context-cache';
import { ContextCacheSession } from 'agent-context-cache/openai-agents';

const model = {
  async getResponse({ input }) {
    const content = [{ type: 'output_text', text: `I know ${input.length} messages` }];
    return { usage: new Usage(), output: [{ type: 'message', role: 'assistant', status: 'completed', content }] };
  },
};

const cache = new AgentContextCache({ natsUrl: null });
const session = new ContextCacheSession(cache.as({ agent: 'guide' }), { sessionId: 'ann' });
const runner = new Runner({ tracingDisabled: true });
const agent = new Agent({ name: 'guide', model });
const ask = async (question) => console.log((await runner.run(agent, question, { session })).finalOutput);

await ask('Where to in June?');
await ask('And in July?');
const { position } = cache;
console.log('removed:', await session.rewindToTurn(1));
await ask('And in August?');

// The turn that was removed is still in the past of the cache.
const before = await cache.fork({ at: position });
const items = await new ContextCacheSession(before, { sessionId: 'ann' }).getItems();
console.log(items.filter(({ role }) => role === 'user').map(({ content }) => content));
await before.shutdown();
await cache.shutdown();
