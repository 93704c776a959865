import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { vi } from 'vitest';
import { cliPath } from './dist.ts';

/** Result of a process of the command line. */
export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  /** Working directory. */
  readonly cwd?: string;
  /** Arguments for Node. */
  readonly execArgv?: readonly string[];
}

// A test starts up to sixty processes in sequence, each a second or more on a slow machine.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

const running = new Set<Child>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts the built command line without the variables that would configure it. */
export function start(args: readonly string[], options: RunOptions = {}): Child {
  return startProgram(process.execPath, [...(options.execArgv ?? []), cliPath, ...args], options);
}

/** The environment without the variables that would configure the command line. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const { REDIS_URL, NATS_URL, CLUSTER_SERVERS, SUBJECT_ID, CONTEXT_CACHE_DIR, npm_lifecycle_event, ...rest } =
    process.env;
  // Node disables the colors of a terminal if CI is set.
  const { NO_COLOR, FORCE_COLOR, CI, ...plain } = rest;
  return plain;
}

/** Starts any program in the environment of a test. */
function startProgram(program: string, args: readonly string[], { env = {}, cwd }: RunOptions): Child {
  const child = spawn(program, args, { env: { ...plainEnvironment(), ...env }, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  // The process may end without reading its input.
  child.stdin.on('error', () => {});
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Runs the command line to its end. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = start(args, options);
  child.stdin.end(options.input ?? '');
  return ended(child);
}

/** Starts a line that starts with `context-cache` in place of its shell, so that signals reach it. */
export function startLine(line: string, options: RunOptions = {}): Child {
  const own = `exec ${quoted(process.execPath)} ${quoted(cliPath)}`;
  return startProgram('bash', ['-c', line.replace(/^context-cache/, own)], options);
}

/** Runs a shell line to its end; `context-cache` is the built command line. */
export function runLine(line: string, options: RunOptions = {}): Promise<Ran> {
  const child = startProgram('bash', ['-c', withCommand(line)], options);
  child.stdin.end(options.input ?? '');
  return ended(child);
}

/**
 * Runs a shell line at a terminal and types `input` once `prompt` matches the output. `stdout` holds all output, as the
 * terminal gets it.
 */
export function runAtTerminal(line: string, options: RunOptions & { prompt?: RegExp } = {}): Promise<Ran> {
  const { input = '', prompt = /\[y\/N\] / } = options;
  const args = ['-qec', `bash -c ${quoted(withCommand(line))}`, '/dev/null'];
  const child = startProgram('script', args, { ...options, env: { TERM: 'xterm-256color', ...options.env } });
  let shown = '';
  let typed = false;
  child.stdout.on('data', (chunk) => {
    shown += chunk;
    if (typed || !prompt.test(shown)) return;
    typed = true;
    child.stdin.write(input);
  });
  return ended(child);
}

function withCommand(line: string): string {
  return `context-cache() { ${quoted(process.execPath)} ${quoted(cliPath)} "$@"; }; set -o pipefail; ${line}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Resolves with the output of a process when it has ended. */
export async function ended(child: Child): Promise<Ran> {
  const text = async (stream: Readable) => {
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece);
    return Buffer.concat(pieces).toString('utf8');
  };
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, stdout, stderr };
}

/** A running `serve`. */
export interface Served extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly token: string;
  readonly pid: number;
  /** Sends a signal and resolves with the output when the process has ended. */
  end(signal?: NodeJS.Signals): Promise<Ran>;
}

/** Starts `serve` and waits until it is ready. */
export async function serve(dataDir: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Served> {
  const child = start(['serve', '--json', '--data-dir', dataDir, ...args], options);
  const all = ended(child);
  const first = await Promise.race([once(child.stdout, 'data').then(([chunk]) => String(chunk)), all]);
  if (typeof first !== 'string') throw new Error(`serve has ended: ${first.stderr}`);
  const { url, pid } = JSON.parse(first) as { url: string; pid: number };
  const { port, token } = JSON.parse(readFileSync(join(dataDir, 'serve.json'), 'utf8'));
  const end = (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal);
    return all;
  };
  return {
    url,
    port,
    token,
    pid,
    end,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await all;
    },
  };
}

/** Parses JSON lines. */
export function jsonLines<Value = Record<string, unknown>>(text: string): Value[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Value);
}

/** Returns a command as a line. */
export function line(command: unknown): string {
  return `${JSON.stringify(command)}\n`;
}

/** Returns a `context.set` as a line. */
export function setLine(key: string, value: unknown, more: Readonly<Record<string, unknown>> = {}): string {
  return line({ type: 'context.set', key, value, ...more });
}

/** Returns the expected output of `dump`, computed independently of the package. */
export function expectedDump(
  folded: ReadonlyMap<string, ReadonlyMap<string, { readonly value: unknown; readonly version: number }>>,
): string {
  const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
  const lines: string[] = [];
  for (const namespace of [...folded.keys()].sort(byBytes)) {
    const entries = folded.get(namespace) ?? new Map();
    for (const key of [...entries.keys()].sort(byBytes)) {
      const { value, version } = entries.get(key);
      lines.push(line({ namespace, key, value, version }));
    }
  }
  return lines.join('');
}

/** Retries until the attempt succeeds; the machine may be busy. */
export function waitFor<Result>(attempt: () => Result | Promise<Result>): Promise<Result> {
  return vi.waitFor(attempt, { timeout: 60_000, interval: 50 });
}
