import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ContextCommand } from '../../src/index.ts';
import { projectRoot } from '../support/dist.ts';
import type { Random } from './support.ts';

/** Options of `crash-child.mjs`. */
export interface ChildOptions {
  readonly dataDir: string;
  /** A file of commands, see {@link writeCommands}. */
  readonly commands: string;
  /** The first command to carry out, and the one before which it shuts down. */
  readonly from: number;
  readonly upTo: number;
  /** Number of commands that may wait for their acknowledgement. */
  readonly inFlight: number;
  readonly durability: 'log' | 'memory';
  readonly sync: boolean;
  /** Syncs nothing at all, not even the state table. */
  readonly unsynced?: boolean;
  /** The file of a mirror. Default: none. */
  readonly mirror?: string | undefined;
  readonly natsUrl?: string | undefined;
  readonly topic?: string | undefined;
  /** The child kills itself in the turn in which it prints this many acknowledgements. */
  readonly dieAt?: number | undefined;
}

/** When a child is killed: `delayMs` after the line of this kind that has this number. */
export interface KillMoment {
  readonly line: 'opening' | 'a' | 'backup' | 'shutdown';
  readonly count: number;
  readonly delayMs: number;
}

/** The output of a child. */
export class Said {
  /** Command → position, of those acknowledged. */
  readonly acknowledged = new Map<number, { readonly position: number; readonly changed: boolean }>();
  /** Command → code of the rejection. */
  readonly rejected = new Map<number, string>();
  readonly errors: string[] = [];
  readonly counts = new Map<string, number>();
  killed = false;

  take(line: string): string {
    const [word = '', first, second, third] = line.split(' ');
    if (word === 'a') this.acknowledged.set(Number(first), { position: Number(second), changed: third === '1' });
    else if (word === 'e') this.rejected.set(Number(first), second ?? '');
    // A process that was killed may leave no index, or too often a half-opened one. It is rebuilt, and that is reported.
    else if (word === 'error' && !/ is rebuilt from position /.test(line)) this.errors.push(line);
    this.counts.set(word, (this.counts.get(word) ?? 0) + 1);
    return word;
  }
}

export async function writeCommands(path: string, commands: readonly ContextCommand[]): Promise<string> {
  await writeFile(path, commands.map((command) => JSON.stringify(command)).join('\n'));
  return path;
}

/**
 * Picks a moment: while opening, at work, during a snapshot or the shutdown; at once, or late enough for the
 * checkpointer.
 */
export function anyMoment(random: Random): KillMoment {
  const roll = random.below(20);
  if (roll < 2) return { line: 'opening', count: 1, delayMs: random.below(120) };
  if (roll < 5) return { line: 'backup', count: 1, delayMs: random.below(12) };
  if (roll < 8) return { line: 'shutdown', count: 1, delayMs: random.below(40) };
  const delayMs = roll < 11 ? random.below(900) : random.below(10);
  return { line: 'a', count: 1 + random.below(300), delayMs };
}

/** Starts a Node process that never outlives this one. */
export function spawnNode(script: string, options: object, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const setpriv = '/usr/bin/setpriv';
  const args = [join(import.meta.dirname, script), JSON.stringify({ dist: join(projectRoot, 'dist'), ...options })];
  const command = existsSync(setpriv)
    ? [setpriv, '--pdeathsig', 'KILL', '--', process.execPath, ...args]
    : [process.execPath, ...args];
  return spawn(command[0] as string, command.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
}

/**
 * Runs a child until it is killed at its moment or has ended before that. `kill` does the killing (default: SIGKILL).
 * All output counts, because each line was printed before anything else happened.
 */
export async function runChild(
  options: ChildOptions,
  moment: KillMoment | undefined,
  kill: (child: ChildProcess) => unknown = (child) => child.kill('SIGKILL'),
): Promise<Said> {
  const child = spawnNode('crash-child.mjs', options);
  const ended = once(child, 'close');
  const said = new Said();
  let timer: NodeJS.Timeout | undefined;
  let killing: unknown;
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const word = said.take(line);
    if (word !== moment?.line || said.counts.get(word) !== moment.count) continue;
    const now = () => {
      killing = kill(child);
    };
    if (moment.delayMs === 0) now();
    else timer = setTimeout(now, moment.delayMs);
  }
  const [code, signal] = await ended;
  await killing;
  clearTimeout(timer);
  said.killed = signal === 'SIGKILL';
  if (!said.killed && code !== 0) throw new Error(`The child ended with code ${code}, signal ${signal}.`);
  return said;
}
