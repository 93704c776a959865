// Measures what an agent must read at each of its turns: a briefing of what others have changed since its last one, or the whole state. The
// turns are those of the recorded airline agents: each trial is a conversation, in which an agent is briefed whenever it takes its turn.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, checkSame } from './lib/check.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { median, quantile } from './lib/passes.mjs';

const OURS = 'agent-context-cache';
const WHOLE = 'the whole state';
const RUNS = join(import.meta.dirname, '../test/data/airline-agents.ndjson');
/** Room for everything, so that the tokens of whole briefings are compared. */
const MAX_TOKENS = 1_000_000;

export default {
  order: 23,
  title: 'briefing',
  about:
    'tokens that an agent of the recorded airline runs reads at each turn, as one per three bytes; time of making them',
  metrics: {
    tokens: { unit: 'tokens', better: 'less', what: '' },
    saved: { unit: 'share', better: 'more', what: 'saved' },
    p50: { unit: 'ns', better: 'less', what: 'median time' },
    p99: { unit: 'ns', better: 'less', what: 'p99 of the time' },
  },
  cases: ({ quick }) => [
    quick
      ? { name: '5 conversations', headline: true, trials: 'task-[0-4]/trial-0' }
      : { name: '200 conversations', headline: true, trials: 'task-\\d+/trial-\\d+' },
  ],
  candidates: [
    { name: OURS, role: 'ours' },
    { name: WHOLE, role: 'rival' },
  ],
  goals: [
    { metric: 'saved', atLeast: 0.69, text: 'saves 69 % or more, the best that agent-coherence reports' },
    { metric: 'p50', atMost: 1e6, text: 'within 1 ms' },
  ],
  async measure({ candidate, case: { trials } }) {
    const cache = new AgentContextCache({ natsUrl: null });
    const commands = commandsOf(trials);
    const last = new Map();
    const known = new Map();
    const times = [];
    let tokens = 0;
    let whole = 0;
    for (const command of commands) {
      const { namespace, agent } = command;
      const state = known.get(`${agent} ${namespace}`) ?? new Map();
      known.set(`${agent} ${namespace}`, state);
      if (last.get(namespace) !== agent) {
        last.set(namespace, agent);
        const began = performance.now();
        const told = await TOLD[candidate](cache, namespace, agent);
        times.push((performance.now() - began) * 1e6);
        tokens += tokensOf(told.text);
        whole += candidate === WHOLE ? tokensOf(told.text) : tokensOf(textOf(cache, namespace));
        told.take(state);
        checkSame(new Map([...state].sort()), entriesOf(cache, namespace), `what ${agent} knows of ${namespace}`);
      }
      await cache.ask(command);
      take(state, command);
    }
    check(times.length > 10, `there are ${times.length} turns`);
    await cache.shutdown();
    const count = times.length;
    return { tokens: tokens / count, saved: 1 - tokens / whole, p50: median(times), p99: quantile(times, 0.99) };
  },
};

/** Ways to bring an agent up to date at its turn: the text for its prompt, and `take`, which puts the same into its copy of the state. */
const TOLD = {
  async [OURS](cache, namespace, agent) {
    const briefing = await cache.briefing({ agent, namespaces: [namespace], maxTokens: MAX_TOKENS });
    return {
      text: briefing.text,
      take(state) {
        checkSame(briefing.omitted, 0, 'the number of changes that are left out');
        for (const { key, value, operation } of briefing.changes) {
          if (key === null) state.clear();
          else if (operation === 'set') state.set(key, value);
          else state.delete(key);
        }
      },
    };
  },
  async [WHOLE](cache, namespace) {
    return {
      text: textOf(cache, namespace),
      take(state) {
        state.clear();
        for (const { key, value } of cache.entries(namespace)) state.set(key, value);
      },
    };
  },
};

const textOf = (cache, namespace) => JSON.stringify(cache.entries(namespace).map(({ key, value }) => [key, value]));

const entriesOf = (cache, namespace) =>
  new Map(
    cache
      .entries(namespace)
      .map(({ key, value }) => [key, value])
      .sort(),
  );

const tokensOf = (text) => Math.ceil(Buffer.byteLength(text) / 3);

/** Returns the commands of the conversations that match the expression. Leaves out the agents' scratch pads, which each alone reads. */
function commandsOf(trials) {
  const isMeant = new RegExp(`^airline/${trials}$`);
  const lines = readFileSync(RUNS, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line)).filter(({ namespace = '' }) => isMeant.test(namespace));
}

/** Puts an agent's own write into its copy of the state. */
function take(state, { type, key, value }) {
  if (type === 'context.set') state.set(key, value);
  else if (type === 'context.delete') state.delete(key);
  else state.clear();
}
