import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { runDirectory } from './temp-dir.ts';

/** The system's ephemeral ports start at 32768 or above: a port from there could be lost while its server is down. */
const FIRST_PORT = 15_000;
const PORTS = 17_000;

const running = new Set<ChildProcess>();

process.on('exit', () => {
  // SIGKILL also ends a process that is paused.
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Finds a program by `override` (an environment variable's value), on PATH, where Debian keeps its daemons, or where
 * scripts/test-servers.mjs has put it.
 */
export function findProgram(name: string, override: string | undefined): string | undefined {
  if (override !== undefined && override !== '') return override;
  const fetched = join(import.meta.dirname, '../../node_modules/.cache/test-servers/bin');
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', fetched];
  return directories
    .filter(Boolean)
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Returns a port without a listener, outside the range that outgoing connections use. No other test of the run gets it,
 * because a server that is down for a while must find it free when it restarts.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    if (claim(port) && (await isFree(port))) return port;
  }
  throw new Error(`No free port found from ${FIRST_PORT} to ${FIRST_PORT + PORTS}.`);
}

/** Reserves the port for the caller; returns false if another test of this run has had it. */
function claim(port: number): boolean {
  if (process.env.CONTEXT_CACHE_TEST_RUN === undefined) return true;
  const ports = join(runDirectory(), 'ports');
  mkdirSync(ports, { recursive: true });
  try {
    writeFileSync(join(ports, String(port)), '', { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code === 'EEXIST') return false;
    throw error;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/** How to start a kind of server and recognise it. */
export interface ServerKind {
  readonly program: string;
  readonly args: readonly string[];
  readonly logFile: string;
  /** Resolves `true` once this very process answers, `false` if no process or another one does. */
  answers(pid: number): Promise<boolean>;
}

const START_TIMEOUT_MS = 20_000;

/** Another process took the port between the check and the start. */
export class PortTakenError extends Error {}

/** Starts a server and waits until it answers. */
export async function launch(kind: ServerKind): Promise<ChildProcess> {
  const log = openSync(kind.logFile, 'w');
  const [program, args] = dyingWithParent(kind.program, kind.args);
  const child = spawn(program, args, { stdio: ['ignore', log, log] });
  closeSync(log);
  let failure: Error | undefined;
  child.once('error', (error) => {
    failure = error;
  });
  register(child);
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (failure === undefined && child.exitCode === null && child.signalCode === null) {
    if (child.pid !== undefined && (await kind.answers(child.pid))) return child;
    if (performance.now() > deadline) failure = new Error(`no answer within ${START_TIMEOUT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await end(child, 'SIGKILL');
  const output = readFileSync(kind.logFile, 'utf8');
  const reason = failure?.message ?? `exit code ${child.exitCode}, signal ${child.signalCode}`;
  const message = `${kind.program} ${kind.args.join(' ')} did not come up: ${reason}. Its output:\n${output}`;
  if (/address already in use/i.test(output)) throw new PortTakenError(message);
  throw new Error(message);
}

/** Sends a signal and waits until the process has ended. Resumes a paused one first. */
export async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const gone = once(child, 'exit');
  child.kill(signal);
  if (signal !== 'SIGKILL') child.kill('SIGCONT');
  await gone;
}

/** Pauses a process, and returns when none of its threads runs any more, which the signal alone does not ensure. */
export function freeze(child: ChildProcess): boolean {
  if (!child.kill('SIGSTOP')) return false;
  const tasks = `/proc/${child.pid}/task`;
  for (let atWork = true; atWork; ) {
    try {
      atWork = readdirSync(tasks).some((task) => !/\) [TtZX] /.test(readFileSync(`${tasks}/${task}/stat`, 'utf8')));
    } catch {
      // A thread ended while it was read, or all of them did.
      atWork = existsSync(tasks);
    }
  }
  return true;
}

/** On Linux, the server ends even if this process is killed and cannot clean up. */
function dyingWithParent(program: string, args: readonly string[]): [string, string[]] {
  const setpriv = '/usr/bin/setpriv';
  return isExecutable(setpriv) ? [setpriv, ['--pdeathsig', 'KILL', '--', program, ...args]] : [program, [...args]];
}

/** Remembers the process here and, for the global tear-down, in the run's directory. */
function register(child: ChildProcess): void {
  if (child.pid === undefined) return;
  const pids = join(runDirectory(), 'pids');
  const file = process.env.CONTEXT_CACHE_TEST_RUN === undefined ? undefined : join(pids, String(child.pid));
  if (file !== undefined) {
    mkdirSync(pids, { recursive: true });
    writeFileSync(file, '');
  }
  running.add(child);
  child.once('exit', () => {
    running.delete(child);
    if (file !== undefined) rmSync(file, { force: true });
  });
  // A server that is still running must not keep this process alive; it is killed when this process ends.
  child.unref();
}
