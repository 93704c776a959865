import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { Said, spawnNode } from './crash-process.ts';

/** A failure of the disk. */
export interface DiskFault {
  /** The calls that are counted. */
  readonly kinds: readonly ('write' | 'sync' | 'rename' | 'remove')[];
  /** Number of the call that fails, from 1. */
  readonly n: number;
  readonly error: 'EIO' | 'ENOSPC';
  /** Makes all later calls fail too, until the fault is lifted. */
  readonly forever?: boolean;
  /** Fate of the failing call. Default: it does nothing. */
  readonly fate?: 'lost' | 'torn' | 'done';
  /** Only files whose path starts with this. */
  readonly directory: string;
}

/** Options of `disk-child.mjs`. */
export interface DiskChildOptions {
  readonly dataDir: string;
  readonly commands: string;
  readonly durability: 'log' | 'memory';
  readonly mirror?: string;
  /** Faults one after another, each until the disk works again. `full`: the disk is full until `ballast` is removed. */
  readonly faults: readonly (DiskFault | { readonly full: true })[];
  /** Faults while the directory is opened. */
  readonly opening?: DiskFault;
  readonly ballast?: string;
  /** The command at which it stops after the faults. */
  readonly upTo: number;
  /** Makes it wait after its `reads` line, to be killed there. Otherwise it could finish before the kill arrives. */
  readonly stayAtReads?: boolean;
}

/** The output of such a child. */
export class DiskSaid extends Said {
  readonly lines: string[] = [];
  /** Commands that were rejected as not done. */
  readonly refused = new Set<number>();
  /** Forbidden acknowledgements: given while degraded, or to a command asked after the log's file had failed. */
  readonly wrong: string[] = [];

  override take(line: string): string {
    this.lines.push(line);
    const word = super.take(line);
    const parts = line.split(' ');
    // A command that changes nothing is answered from committed state at any time.
    if (word === 'a' && parts[3] === '1' && (parts[4] !== 'ready' || parts[5] !== '0')) this.wrong.push(line);
    if (word === 'e' && parts[2] === 'LOG_UNAVAILABLE') this.refused.add(Number(parts[1]));
    if (word === 'e' && parts[2] === 'OUTCOME_UNKNOWN' && parts[3] === 'ready') this.wrong.push(line);
    return word;
  }

  /** Codes of the rejections that the commands themselves do not explain. */
  get rejectedButConflicts(): string[] {
    return [...this.rejected.values()].filter((code) => code !== 'VERSION_CONFLICT');
  }

  /** The course of each fault, as the words it reported, such as `armed hit degraded reads lifted ready`. */
  courses(faults: number): string[] {
    return Array.from({ length: faults }, (_, index) =>
      this.lines
        .map((line) => line.split(' '))
        .filter(([word, number]) => word !== 'a' && word !== 'e' && number === String(index))
        .map(([word]) => word)
        .join(' '),
    );
  }

  /** Returns the rest of the lines that start with a word. */
  told(word: string): string[] {
    return this.lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  }
}

/** Compiles the shim. Returns its path, or the reason why it is unavailable. */
export async function compileShim(home: string): Promise<{ shim: string } | { missing: string }> {
  if (process.platform !== 'linux') return { missing: 'LD_PRELOAD as it is used here needs Linux' };
  const shim = join(home, 'disk-faults.so');
  const source = join(import.meta.dirname, 'disk-faults.c');
  try {
    await promisify(execFile)('gcc', ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', shim, source, '-ldl']);
    return { shim };
  } catch (error) {
    // Only if there is no compiler: a shim that does not compile must not pass for that.
    if ((error as { code?: unknown }).code === 'ENOENT') return { missing: 'there is no gcc' };
    throw error;
  }
}

/** Runs a child on a failing disk. `killAt`: kills it at the first line that starts with this. */
export async function runOnBadDisk(
  shim: string,
  home: string,
  options: DiskChildOptions | { readonly location: string },
  killAt?: string,
  script = 'disk-child.mjs',
): Promise<DiskSaid> {
  const control = join(home, 'control');
  await writeFile(control, Buffer.alloc(4096));
  const env = { LD_PRELOAD: shim, DISK_FAULTS: control, UV_USE_IO_URING: '0' };
  const child = spawnNode(script, { ...options, control }, env);
  const ended = once(child, 'close');
  const said = new DiskSaid();
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    if (said.take(line) === killAt) child.kill('SIGKILL');
  }
  const [code, signal] = await ended;
  said.killed = signal === 'SIGKILL';
  if (!said.killed && code !== 0)
    throw new Error(`The child ended with code ${code}, signal ${signal}, ${said.lines.slice(-3).join('; ')}.`);
  return said;
}
