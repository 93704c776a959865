// Two MCP hosts on one memory: each changes its part of a plan, and one asks what is new. Real hosts start `context-cache mcp`.
import { Client, InMemoryTransport } from '@modelcontextprotocol/client';
import { AgentContextCache } from 'agent-context-cache';
import { createMcpServer } from 'agent-context-cache/mcp';

const cache = new AgentContextCache({ natsUrl: null });

/** Connects a host, which writes under its own name. Returns a function that calls a tool. */
async function connectHost(name) {
  const host = new Client({ name, version: '1.0.0' });
  const [ours, theirs] = InMemoryTransport.createLinkedPair();
  await Promise.all([(await createMcpServer(cache)).connect(theirs), host.connect(ours)]);
  return async (tool, args) => {
    const { structuredContent, content } = await host.callTool({ name: tool, arguments: args });
    return structuredContent ?? JSON.parse(content[0].text);
  };
}

const planner = await connectHost('planner');
const booker = await connectHost('booker');

const { position } = await planner('set', { key: 'plan', value: { to: 'Lisbon', nights: 3 } });
await Promise.all([
  planner('update', { key: 'plan', patch: { nights: 4 } }),
  booker('update', { key: 'plan', patch: { flight: 'TP 258' } }),
]);
console.log((await booker('get', { key: 'plan' })).value);

const { error } = await planner('set', { key: 'plan', value: 'mine', ifVersion: 1 });
console.log(error.code, 'the plan is at version', error.current.version);

for (const { key, agent, value } of (await planner('changes', { since: position })).changes)
  console.log(key, agent, value);
await cache.shutdown();
