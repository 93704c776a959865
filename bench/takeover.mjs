// Measures how long writes to a shared directory wait when the process that holds it is killed, hangs, or shuts down.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { check } from './lib/check.mjs';
import { AgentContextCache } from './lib/ours.mjs';

const KEYS = 1_000;

export default {
  order: 14.5,
  title: 'takeover of a shared directory',
  about: 'milliseconds from the end of the holder until another process has a write acknowledged',
  metrics: {
    killed: { unit: 'ms', better: 'less', what: 'after kill -9' },
    hung: { unit: 'ms', better: 'less', what: 'after SIGSTOP' },
    ended: { unit: 'ms', better: 'less', what: 'after a shutdown' },
  },
  goals: [
    { metric: 'killed', atMost: 2_000, text: 'within 2 s of a kill' },
    { metric: 'hung', atMost: 2_000, text: 'within 2 s of a hang' },
    { metric: 'ended', atMost: 2_000, text: 'within 2 s of a shutdown' },
  ],
  cases: () => [{ name: '1,000 keys', headline: true }],
  candidates: [{ name: 'agent-context-cache', role: 'ours' }],
  async measure({ dir }) {
    return {
      killed: await takeover(join(dir, 'killed'), (holder) => holder.kill('SIGKILL')),
      hung: await takeover(join(dir, 'hung'), (holder) => holder.kill('SIGSTOP')),
      ended: await takeover(join(dir, 'ended'), (holder) => holder.send('shutdown')),
    };
  },
};

async function takeover(dataDir, end) {
  const holder = fork(join(import.meta.dirname, 'lib', 'holder-child.mjs'), [dataDir], { execArgv: [] });
  process.on('exit', () => holder.kill('SIGKILL'));
  const ended = once(holder, 'exit');
  await Promise.race([once(holder, 'message'), ended]);
  const memory = await AgentContextCache.share(dataDir, { natsUrl: null, onError: () => {} });
  for (let i = 0; i < KEYS; i += 1) await memory.set(`key-${i}`, i);
  const before = performance.now();
  end(holder);
  await memory.set('after', true);
  const ms = performance.now() - before;
  await ended;
  const keys = await memory.listKeys();
  check(keys.length === KEYS + 1, `${keys.length} keys are there`);
  await memory.shutdown();
  return ms;
}
