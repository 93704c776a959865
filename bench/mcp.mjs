// Measures the tool `set` of the MCP server beside other MCP servers that keep what an agent tells them. Each server is a process that the
// host starts; each call waits for the answer of the one before, as an agent does.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { check, checkSame } from './lib/check.mjs';
import { quantile } from './lib/passes.mjs';

const OURS = 'agent-context-cache';
const MEMORY = 'server-memory, a file';
const REDIS = 'server-redis';
const PACKAGES = join(import.meta.dirname, 'node_modules', '@modelcontextprotocol');

const keyOf = (i) => `fact-${i}`;
const textOf = (i) => `Ann likes pancakes, said ${i} times.`;

export default {
  order: 22,
  title: 'MCP',
  about: 'calls a second of the tool that stores a value, one at a time, over stdin and stdout',
  metrics: {
    rate: { unit: '/s', better: 'more', what: '' },
    p50: { unit: 'ns', better: 'less', what: 'median time of a call' },
  },
  servers: { redis: [] },
  cases: ({ quick }) => [{ name: '`set`', headline: true, count: quick ? 20 : 1_000 }],
  candidates: [
    { name: OURS, role: 'ours' },
    { name: MEMORY, role: 'rival' },
    { name: REDIS, role: 'rival' },
  ],
  async measure({ candidate, case: { count }, redis, dir }) {
    const { command, env, set, get } = SERVERS[candidate]({ redis, dir });
    const host = await hostOf(command, env);
    const warm = Math.ceil(count / 4);
    for (let i = 0; i < warm; i += 1) await host.call(...set(i));
    const times = [];
    const began = performance.now();
    for (let i = warm; i < warm + count; i += 1) {
      const from = performance.now();
      await host.call(...set(i));
      times.push(performance.now() - from);
    }
    const rate = count / ((performance.now() - began) / 1e3);
    for (const i of [0, warm + count - 1])
      check((await host.call(...get(i))).includes(textOf(i)), `the value ${i} is not there`);
    await host.close();
    return { rate, p50: quantile(times, 0.5) * 1e6 };
  },
};

/** How each server is started, and its calls to store and to read a value. */
const SERVERS = {
  [OURS]: ({ dir }) => ({
    command: [join(import.meta.dirname, '../dist/src/cli/main.js'), 'mcp', '--data-dir', dir],
    set: (i) => ['set', { key: keyOf(i), value: textOf(i), namespace: 'facts' }],
    get: (i) => ['get', { key: keyOf(i), namespace: 'facts' }],
  }),
  [MEMORY]: ({ dir }) => ({
    command: [join(PACKAGES, 'server-memory/dist/index.js')],
    env: { MEMORY_FILE_PATH: join(dir, 'memory.jsonl') },
    set: (i) => ['create_entities', { entities: [{ name: keyOf(i), entityType: 'fact', observations: [textOf(i)] }] }],
    get: (i) => ['open_nodes', { names: [keyOf(i)] }],
  }),
  [REDIS]: ({ redis }) => ({
    command: [join(PACKAGES, 'server-redis/dist/index.js'), redis],
    set: (i) => ['set', { key: keyOf(i), value: textOf(i) }],
    get: (i) => ['get', { key: keyOf(i) }],
  }),
};

/** Starts a server as a host does. `call` resolves with the text of a tool's result. */
async function hostOf(command, env) {
  const child = spawn(process.execPath, command, {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, ...env },
  });
  const exited = once(child, 'exit');
  const waiting = new Map();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, ...answer } = JSON.parse(line);
    waiting.get(id)?.(answer);
    waiting.delete(id);
  });
  exited.then(([code]) => {
    for (const answer of waiting.values()) answer({ error: { message: `the server ended with ${code}` } });
  });
  const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  let last = 0;
  const ask = async (method, params) => {
    last += 1;
    const id = last;
    const answered = new Promise((resolve) => waiting.set(id, resolve));
    send({ id, method, params });
    const { error, result } = await answered;
    check(error === undefined, error?.message);
    return result;
  };
  const clientInfo = { name: 'bench', version: '1.0.0' };
  await ask('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo });
  send({ method: 'notifications/initialized' });
  return {
    async call(name, args) {
      const { content, isError } = await ask('tools/call', { name, arguments: args });
      const text = content.map((each) => each.text).join('\n');
      checkSame(isError ?? false, false, `the answer ${text}: an error`);
      return text;
    },
    async close() {
      child.stdin.end();
      setTimeout(() => child.kill(), 2_000).unref();
      await exited;
    },
  };
}
