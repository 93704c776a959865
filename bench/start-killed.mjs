// Measures opening a directory whose process was killed in the middle of durable writes at full rate.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { check } from './lib/check.mjs';
import { AgentContextCache } from './lib/ours.mjs';

export default {
  order: 12.5,
  title: 'start after `kill -9`',
  about:
    'milliseconds until a cache is open on a data directory whose process was killed during durable writes at full rate',
  metrics: {
    open: { unit: 'ms', better: 'less', what: 'open' },
    first: { unit: 'ms', better: 'less', what: 'first get of a namespace' },
  },
  goals: [{ metric: 'open', atMost: 1_000, text: 'within a second' }],
  cases: ({ quick }) => [
    quick
      ? { name: '256 in flight', inFlight: 256, ms: 500 }
      : { name: '4,096 in flight, for 20 seconds', headline: true, inFlight: 4_096, ms: 20_000 },
  ],
  candidates: [{ name: 'agent-context-cache', role: 'ours' }],
  async measure({ dir, case: { inFlight, ms } }) {
    const dataDir = join(dir, 'data');
    const child = fork(join(import.meta.dirname, 'lib', 'writing-child.mjs'), [dataDir, String(inFlight)], {
      execArgv: [],
    });
    process.on('exit', () => child.kill('SIGKILL'));
    let acknowledged = 0;
    child.on('message', (position) => {
      acknowledged = position;
    });
    const ended = once(child, 'exit');
    await Promise.race([once(child, 'message'), ended]);
    await wait(ms);
    child.kill('SIGKILL');
    await ended;
    const began = performance.now();
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    const open = performance.now() - began;
    const before = performance.now();
    const value = cache.get('key-0', 'agent/0');
    const first = performance.now() - before;
    check(value !== undefined, 'the first key is missing');
    const { head } = cache.health().log;
    check(acknowledged > 0 && head >= acknowledged, `${acknowledged} were acknowledged, ${head} are there`);
    await cache.shutdown({ timeoutMs: 120_000 });
    return { open, first };
  },
};
