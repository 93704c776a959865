import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { check } from '../check.mjs';

/** Resolution of gaps in milliseconds, the same as in writer-child.mjs. */
const STEP_MS = 10;

/** Starts a process that writes, of one of the kinds in writers.mjs. Resolves when it is ready. */
export async function writerElsewhere(given) {
  const child = fork(join(import.meta.dirname, 'writer-child.mjs'), [JSON.stringify(given)], { execArgv: [] });
  process.on('exit', () => child.kill('SIGKILL'));
  const answers = new Map();
  let lastId = 0;
  child.on('message', ({ id, result, error }) => {
    const { resolve, reject } = answers.get(id) ?? {};
    answers.delete(id);
    if (error !== undefined) reject?.(new Error(error));
    else resolve?.(result);
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of answers.values()) reject(new Error(`A writer has ended (${signal ?? code}).`));
  });
  const [first] = await Promise.race([once(child, 'message'), once(child, 'exit')]);
  check(first?.ready === true, `a writer of the kind ${given.kind} did not start`);
  const ask = (question, details = {}) =>
    new Promise((resolve, reject) => {
      lastId += 1;
      answers.set(lastId, { resolve, reject });
      child.send({ id: lastId, ask: question, ...details });
    });
  return {
    ask,
    kill: () => child.kill('SIGKILL'),
    async close() {
      await ask('close');
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Returns the warm-up, in milliseconds, of processes that share their processors with each other's compilers. */
export const longWarmUp = (ms) => 2 * ms;

/**
 * Writes in all processes at once for `ms` milliseconds after a warm-up, by default half of that, and returns what they did together:
 * acknowledged writes a second, the median of a write, the processor time of one process for each write of all, the longest
 * time in which no process had a write acknowledged (`gap`), and the longest of a single process (`slowest`).
 */
export async function measureTogether(writers, ms, warmUpMs = Math.max(300, ms / 2)) {
  const from = Date.now() + warmUpMs;
  const asked = writers.map(({ ask }) => ask('measure', { from, to: from + ms }));
  const results = await Promise.all(asked);
  const done = results.reduce((sum, each) => sum + each.done, 0);
  check(done > 0, 'nothing was written');
  const p50s = results.map(({ p50 }) => p50).sort((a, b) => a - b);
  const cpu = results.reduce((sum, each) => sum + each.cpu, 0) / results.length;
  return {
    rate: (done / ms) * 1_000,
    p50: p50s[p50s.length >> 1],
    cpu: (cpu * 1_000) / done,
    gap: longestGap(results, ms),
    slowest: Math.max(...results.map(({ gap }) => gap)),
  };
}

/** Returns the longest time in which no process had a write acknowledged, in milliseconds. */
function longestGap(results, ms) {
  const steps = [...new Set(results.flatMap(({ busy }) => busy))].sort((a, b) => a - b);
  let longest = 0;
  let last = -1;
  for (const step of [...steps, Math.floor(ms / STEP_MS)]) {
    longest = Math.max(longest, step - last - 1);
    last = step;
  }
  return longest * STEP_MS;
}

/** Throws unless all nodes have come to the same state. */
export async function checkEqual(nodes) {
  const states = await Promise.all(nodes.map(({ ask }) => ask('state')));
  // A later barrier of another node moves no position.
  for (const { digest, position } of states) {
    check(digest === states[0].digest && position === states[0].position, 'the nodes differ');
  }
}
