import { fork } from 'node:child_process';
import { join } from 'node:path';

const CHILD = join(import.meta.dirname, 'child.mjs');
const QUICK_TIMEOUT_MS = 60_000;
const TIMEOUT_MS = 1_800_000;
/** Time that a child has to end the servers and processes that it has started. */
const END_MS = 5_000;

const running = new Set();

/** Ends all children, so that none outlives the bench. */
export function endChildren() {
  for (const child of running) child.kill('SIGTERM');
}

/** Ends a child with SIGTERM, on which it ends the servers and processes that it has started; with SIGKILL if it takes too long. */
export function endChild(child, afterMs = END_MS) {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
  child.once('exit', () => clearTimeout(timer));
}

/** Runs one step of a question (`measure` or `prepare`) in a fresh process and returns its result. */
export function inFreshProcess(file, step, context, { profileDir } = {}) {
  const profile = profileDir === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profileDir];
  return new Promise((resolve, reject) => {
    const child = fork(CHILD, [JSON.stringify({ file, step, context })], {
      execArgv: ['--expose-gc', '--max-old-space-size=12288', ...profile],
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    running.add(child);
    let message;
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    const timeoutMs = context.scale.quick ? QUICK_TIMEOUT_MS : TIMEOUT_MS;
    const timer = setTimeout(() => {
      message = { error: `It took longer than ${timeoutMs / 1_000} s.` };
      endChild(child);
    }, timeoutMs);
    child.on('message', (received) => {
      message ??= received;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      if (message?.error !== undefined) reject(new Error(message.error));
      else if (message === undefined) reject(new Error(`It ended without a result (${signal ?? code}).\n${output}`));
      else resolve(message.result);
    });
  });
}
