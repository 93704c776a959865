import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { vi } from 'vitest';
import { cliPath } from '../support/dist.ts';

/** How a process of the command line has ended. */
export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of Node itself. */
  readonly execArgv?: readonly string[];
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

const running = new Set<Child>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts the built command line. What the surroundings set for it is left out. */
export function start(args: readonly string[], { env = {}, execArgv = [] }: RunOptions = {}): Child {
  const { REDIS_URL, NATS_URL, SUBJECT_ID, CONTEXT_CACHE_DIR, npm_lifecycle_event, ...rest } = process.env;
  const child = spawn(process.execPath, [...execArgv, cliPath, ...args], {
    env: { ...rest, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // It may have ended without reading its input.
  child.stdin.on('error', () => {});
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Runs it to its end. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = start(args, options);
  child.stdin.end(options.input ?? '');
  return ended(child);
}

/** What a process has printed until it ended. */
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
  /** A signal, and what it printed until it ended. */
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

/** The values of JSON lines. */
export function jsonLines<Value = Record<string, unknown>>(text: string): Value[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Value);
}

/** A command on a line. */
export function line(command: unknown): string {
  return `${JSON.stringify(command)}\n`;
}

/** `context.set` on a line. */
export function setLine(key: string, value: unknown, more: Readonly<Record<string, unknown>> = {}): string {
  return line({ type: 'context.set', key, value, ...more });
}

/** What `dump` must print, worked out by other means than the package's. */
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

/** Tries until it holds; the machine may be busy. */
export function waitFor<Result>(attempt: () => Result | Promise<Result>): Promise<Result> {
  return vi.waitFor(attempt, { timeout: 20_000, interval: 50 });
}
