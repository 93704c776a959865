// Six agents work on recorded runs. One of them takes in a false fact; it is found, taken back, and with it what was based on it.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { AgentContextCache } from 'agent-context-cache';

const RUNS = new URL('../test/data/airline-agents.ndjson', import.meta.url);
const AGENTS = ['searcher', 'planner', 'booker', 'payer', 'upseller', 'checker'];
const cache = new AgentContextCache();
/** The writes that this program makes: position, agent, and positions of what was read for it. */
const made = [];
const wrote = (position, agent, read) => made.push({ position, agent, read });

// Each line of the recording is a write of the next agent. Every fifth one is based on the last write of another agent.
let line = 0;
const last = [];
for await (const text of createInterface({ input: createReadStream(RUNS) })) {
  const { type, namespace, key, value } = JSON.parse(text);
  if (type !== 'context.set') continue;
  const agent = line % AGENTS.length;
  const other = line % 5 === 0 ? last.at(-2) : undefined;
  const basis = other === undefined ? [] : [other.reading];
  const { position, version } = await cache.set(key, value, namespace, { agent: AGENTS[agent], basis });
  wrote(position, AGENTS[agent], other === undefined ? [] : [other.position]);
  last.push({ position, reading: { namespace, key, version } });
  line += 1;
  if (line === 1_200) break;
}

// A false fact, and a chain of ten writes: each is based on the one before.
await cache.set('gate', 'A1', 'facts', { agent: 'searcher', basis: [] });
const poison = await cache.as({ agent: 'searcher' }, { basis: true }).set('gate', 'closed', 'facts');
wrote(poison.position, 'searcher', []);
let before = { key: 'gate', position: poison.position };
const writers = ['searcher'];
for (let depth = 1; depth < 10; depth += 1) {
  const agent = AGENTS[depth % AGENTS.length];
  const reader = cache.as({ agent }, { basis: true });
  reader.get(before.key, 'facts');
  const { position } = await reader.set(`step ${depth}`, `because of ${before.key}`, 'facts');
  wrote(position, agent, [before.position]);
  writers.unshift(agent);
  before = { key: `step ${depth}`, position };
}
// One agent decides otherwise, from its own knowledge.
await cache.set('step 4', 'asked the crew', 'facts', { agent: 'checker', basis: [] });

const provenance = await cache.provenance('step 9', 'facts');
const chain = provenance.writes.map(({ agent }) => agent);
console.log(`chain of ${chain.length}: ${chain.join() === writers.join() ? 'the right writers' : 'wrong'}`);

const { update } = await cache.bisect((view) => view.get('gate', 'facts') !== 'closed');
console.log(
  `bisect finds position ${update.position}: ${update.position === poison.position ? 'the false fact' : 'wrong'}`,
);

const { writes } = await cache.impact(update.position);
const walked = new Set([update.position]);
for (const { position, read } of made) if (read.some((each) => walked.has(each))) walked.add(position);
const found = new Set(writes.map(({ position }) => position));
const isExact = found.size === walked.size && [...walked].every((position) => found.has(position));
console.log(`impact: ${found.size - 1} later writes, ${isExact ? 'as a walk over the log finds them' : 'wrong'}`);

// A replay of the log without the false fact and what was based on it.
const replayed = new Map();
for await (const { position, namespace, key, operation, value } of cache.readLog()) {
  if (walked.has(position)) continue;
  if (operation === 'set') replayed.set(`${namespace}/${key}`, JSON.stringify(value));
}
const report = await cache.retract(update.position, { reason: 'misread sign', agent: 'checker', cascade: 'restore' });
const [conflict] = report.conflicts;
console.log(
  `retracted: ${report.restored.length} entries restored; ${conflict.key} stays, ${conflict.agent} decided otherwise`,
);

let equal = 0;
let entries = 0;
for (const namespace of cache.listNamespaces()) {
  for (const { key, value } of cache.entries(namespace)) {
    entries += 1;
    if (replayed.get(`${namespace}/${key}`) === JSON.stringify(value)) equal += 1;
  }
}
console.log(`${entries === replayed.size && equal === entries ? 'equal to' : 'different from'} a replay without it`);
await cache.shutdown();
